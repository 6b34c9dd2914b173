#!/bin/sh
# Makes an OCI image of one layer, as an archive that skopeo, crane and containerd read, with no other tool than tar and gzip.
# Usage: oci.sh DIR OUT ARCHITECTURE NAME:TAG [ENTRYPOINT]
#
# DIR holds what the image holds. Equal files, and an equal SOURCE_DATE_EPOCH, give equal bytes.
# Formats: opencontainers/image-spec v1.1, `layout`, `manifest` and `config`.
set -eu
: "${SOURCE_DATE_EPOCH:?}"

dir=$1
out=$2
architecture=$3
reference=$4
entrypoint=${5:-}

layout=$(mktemp -d)
trap 'rm -rf "$layout"' EXIT
blobs=$layout/blobs/sha256
mkdir -p "$blobs"

pack() {
    tar --format=ustar --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner \
        --mode=u=rwX,go=rX -C "$1" -cf - .
}

sum() {
    sha256sum "$1" | cut -c1-64
}

# Moves a file among the blobs and prints its descriptor, without the closing brace.
blob() {
    digest=$(sum "$2")
    printf '{"mediaType":"application/vnd.oci.image.%s","digest":"sha256:%s","size":%s' "$1" "$digest" "$(stat -c %s "$2")"
    mv "$2" "$blobs/$digest"
}

pack "$dir" >"$layout/layer"
diff_id=$(sum "$layout/layer")
gzip -n -9 "$layout/layer"
layer=$(blob layer.v1.tar+gzip "$layout/layer.gz")

created=$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y-%m-%dT%H:%M:%SZ)
printf '{"created":"%s","architecture":"%s","os":"linux","config":{%s},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' \
    "$created" "$architecture" "${entrypoint:+\"Entrypoint\":[\"$entrypoint\"]}" "$diff_id" >"$layout/config"
config=$(blob config.v1+json "$layout/config")

printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":%s},"layers":[%s}]}' \
    "$config" "$layer" >"$layout/manifest"
manifest=$(blob manifest.v1+json "$layout/manifest")

printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[%s,"platform":{"architecture":"%s","os":"linux"},"annotations":{"org.opencontainers.image.ref.name":"%s"}}]}' \
    "$manifest" "$architecture" "$reference" >"$layout/index.json"
printf '{"imageLayoutVersion":"1.0.0"}' >"$layout/oci-layout"

pack "$layout" >"$out.new"
mv "$out.new" "$out"
