#!/bin/sh
# Installs what a tier of the tests needs and this machine lacks, from Debian's packages and the Go module proxy.
# Usage: tests/tools.sh base|helper|secret-service|containerd|kubelet|dist|bench|lint. Prints nothing when everything is there. For `kubelet`, the last line of
# standard output is the `go` to use.
set -eu

# need COMMAND PACKAGE...: the first word must be a command afterwards.
need() {
    command=$1
    shift
    if command -v "$command" >/dev/null 2>&1; then
        return
    fi
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
        echo "missing: $command; install the Debian package(s) $*, or run this as root on Debian" >&2
        exit 1
    fi
    echo "installing $*" >&2
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@" >&2 ||
        { apt-get update >&2 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@" >&2; }
    command -v "$command" >/dev/null 2>&1 || { echo "$command is still missing after installing $*" >&2; exit 1; }
}

# The kubelet's modules name the Go that they need. An older one, such as Debian's, fetches that toolchain as a module and checks
# its sum; from 1.21 on Go does so by itself.
need_go() {
    wanted=$(sed -n 's/^go //p' "$(dirname "$0")/kubelet/go.mod")
    need go golang-go >&2
    have=$(go env GOVERSION)
    oldest=$(printf '%s\n%s\n' "go1.21" "$have" | sort -V | head -n 1)
    if [ "$oldest" = go1.21 ]; then
        command -v go
        return
    fi
    module="golang.org/toolchain@v0.0.1-go$wanted.$(go env GOOS)-$(go env GOARCH)"
    echo "fetching Go $wanted" >&2
    dir=$(GOFLAGS=-mod=mod go mod download -json "$module" | sed -n 's/.*"Dir": "\(.*\)".*/\1/p')
    # A module's files are not executable.
    chmod -R u+w "$dir"
    chmod -R a+x "$dir/bin" "$dir/pkg/tool"
    echo "$dir/bin/go"
}

case ${1:-} in
    base)
        need cc gcc libc6-dev
        if ! command -v cargo >/dev/null 2>&1; then
            echo "missing: Rust 1.91 or later; see https://rustup.rs" >&2
            exit 1
        fi
        need systemd-creds systemd
        need keyctl keyutils
        need setpriv util-linux
        need script bsdutils
        need pgrep procps
        ;;
    helper)
        need docker-credential-pass golang-docker-credential-helpers
        need pass pass
        need gpg gnupg
        ;;
    secret-service)
        need dbus-run-session dbus-daemon
        need gnome-keyring-daemon gnome-keyring
        ;;
    containerd)
        need containerd containerd runc
        need docker-registry docker-registry
        need htpasswd apache2-utils
        ;;
    kubelet) need_go ;;
    dist)
        need jq jq
        need zip zip
        need unzip unzip
        need wixl wixl
        need msiinfo msitools
        need faketime faketime
        need skopeo skopeo
        need readelf binutils
        need xz xz-utils
        ;;
    bench) need hyperfine hyperfine ;;
    lint) need shellcheck shellcheck ;;
    *)
        echo "usage: $0 base|helper|secret-service|containerd|kubelet|dist|bench|lint" >&2
        exit 2
        ;;
esac
