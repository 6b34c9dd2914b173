# The image of windows.yaml. Beside this file: the keyring-credential-provider.exe of the zip.
#   docker buildx build --platform windows/amd64 --output type=registry -t IMAGE -f windows.Dockerfile .
FROM mcr.microsoft.com/oss/kubernetes/windows-host-process-containers-base-image:v1.0.0
COPY keyring-credential-provider.exe /
