#!/bin/sh
# Packs what is released, for the architecture of the Linux program, and a bill of materials and sums of it all.
# Usage: dist.sh LINUX_PROGRAM WINDOWS_PROGRAM OUT
#
#   NAME-VERSION-linux-ARCH.tar.gz         program, install.sh, manual, completions, licences
#   NAME_VERSION_ARCH.deb                  the same for Debian and Ubuntu; changes no kubelet
#   NAME-VERSION-windows-amd64.zip, .msi   program and PowerShell scripts
#   NAME-VERSION-talos-ARCH.tar            system extension, an OCI image
#   NAME-VERSION-node-ARCH.tar             the image of the DaemonSet, an OCI image
#   NAME-VERSION-{linux,windows}.cdx.json  bills of materials, CycloneDX
#   SHA256SUMS
#
# Equal programs and an equal SOURCE_DATE_EPOCH (default: the time of the last commit) give equal bytes. MAINTAINER is
# the one that the Debian package names.
set -eu

fail() {
    echo "error: $1" >&2
    exit 1
}

[ $# = 3 ] || fail "usage: $0 LINUX_PROGRAM WINDOWS_PROGRAM OUT"
name=keyring-credential-provider
linux=$(realpath -- "$1")
windows=$(realpath -- "$2")
mkdir -p "$3"
out=$(realpath -- "$3")
cd "$(dirname "$0")/../.."
src=$(pwd)

SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)} || fail "no git checkout: set SOURCE_DATE_EPOCH"
export SOURCE_DATE_EPOCH LC_ALL=C TZ=UTC
umask 022
time=$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y-%m-%dT%H:%M:%SZ)
version=$("$linux" --version | cut -d' ' -f2)
[ "$version" = "$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)" ] || fail "\`$linux\` is another version"
case $(readelf -h "$linux" | sed -n 's/^ *Machine: *//p') in
    *X86-64) machine=x86_64 architecture=amd64 ;;
    AArch64) machine=aarch64 architecture=arm64 ;;
    *) fail "\`$linux\` is for a machine that is not packed" ;;
esac
# Talos and other minimal nodes have nothing that it could be linked with.
! readelf -l "$linux" | grep -q INTERP || fail "\`$linux\` is not static"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Gives everything below a directory the one time and the modes of files that all may read.
settle() {
    find "$1" -type d -exec chmod 755 {} +
    find "$1" -type f ! -perm -u+x -exec chmod 644 {} +
    find "$1" -type f -perm -u+x -exec chmod 755 {} +
    find "$1" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
}

# A UUID that is made of text, in the form of version 8 (RFC 9562) and in capitals, as Windows Installer wants it.
uuid_of() {
    printf %s "$1" | sha256sum | tr a-f A-F | sed 's/^\(.\{8\}\)\(.\{4\}\).\(.\{3\}\).\(.\{3\}\)\(.\{12\}\).*/\1-\2-8\3-A\4-\5/'
}

bill() {
    linked=$(cargo tree --locked --edges normal,no-proc-macro --prefix none --format '{p}' --target "$1" | sed 's/ (.*//' | sort -u)
    cargo metadata --format-version 1 --locked --filter-platform "$1" >"$work/metadata"
    jq --arg target "$1" --arg time "$time" --arg linked "$linked" -f install/dist/sbom.jq "$work/metadata" >"$2"
    # The licence files of the same crates.
    jq -r --arg linked "$linked" '($linked | split("\n")) as $all | .packages[] | select(.source)
        | select("\(.name) v\(.version)" as $it | any($all[]; . == $it)) | "\(.name) \(.version) \(.manifest_path)"' \
        "$work/metadata" >>"$work/crates"
}

other_licences() {
    echo "The program contains these libraries, and the standard library of Rust (MIT or Apache-2.0, The Rust Project Developers)."
    sort -u "$work/crates" | while read -r crate crate_version manifest; do
        printf '\n==== %s %s\n' "$crate" "$crate_version"
        find "$(dirname "$manifest")" -maxdepth 1 -type f \( -iname 'licen[cs]e*' -o -iname 'copying*' -o -iname 'notice*' \) |
            sort | while read -r file; do
            echo
            cat "$file"
        done
    done
}

base=$name-$version
bill "$machine-unknown-linux-gnu" "$out/$base-linux.cdx.json"
bill x86_64-pc-windows-gnu "$out/$base-windows.cdx.json"
common=$work/common
mkdir "$common"
cp README.md SECURITY.md CHANGELOG.md LICENSE "$common"
other_licences >"$common/THIRD-PARTY-LICENSES"

# The tarball.
tree=$work/$base-linux-$architecture
mkdir -p "$tree/man" "$tree/completions" "$tree/examples"
cp "$common"/* "$tree"
install -m 755 "$linux" "$tree/$name"
install -m 755 install/linux/install.sh "$tree"
"$linux" generate man --dir "$tree/man"
for shell in bash zsh fish; do "$linux" generate completions "$shell" >"$tree/completions/$name.$shell"; done
cp install/kubernetes/credential-provider-config.yaml docs/apply.schema.json install/systemd/*.service "$tree/examples"
(cd "$tree" && sha256sum "$name" install.sh >SHA256SUMS)
settle "$tree"
tar --format=ustar --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner \
    -C "$work" -cf - "$(basename "$tree")" | gzip -n -9 >"$out/$(basename "$tree").tar.gz"

# The Debian package. Its directory of programs holds this one alone, so that it can be the kubelet's.
deb=$work/deb
doc=$deb/usr/share/doc/$name
mkdir -p "$deb/DEBIAN" "$deb/usr/libexec/$name/bin" "$deb/usr/bin" "$deb/usr/share/man/man1" "$doc/examples" \
    "$deb/usr/share/bash-completion/completions" "$deb/usr/share/zsh/vendor-completions" \
    "$deb/usr/share/fish/vendor_completions.d" "$deb/usr/lib/systemd/system"
install -m 755 "$linux" "$deb/usr/libexec/$name/bin/$name"
ln -s "../libexec/$name/bin/$name" "$deb/usr/bin/$name"
cp "$tree"/man/*.1 "$deb/usr/share/man/man1"
gzip -n -9 "$deb"/usr/share/man/man1/*.1
cp "$tree/completions/$name.bash" "$deb/usr/share/bash-completion/completions/$name"
cp "$tree/completions/$name.zsh" "$deb/usr/share/zsh/vendor-completions/_$name"
cp "$tree/completions/$name.fish" "$deb/usr/share/fish/vendor_completions.d"
cp install/systemd/*.service "$deb/usr/lib/systemd/system"
cp README.md SECURITY.md "$doc"
gzip -n -9 <CHANGELOG.md >"$doc/changelog.gz"
cat LICENSE "$common/THIRD-PARTY-LICENSES" >"$doc/copyright"
cp "$tree"/examples/*.yaml "$tree"/examples/*.json "$doc/examples"
settle "$deb/usr"
sed -e "s/@VERSION@/$version/" -e "s/@ARCHITECTURE@/$architecture/" -e "s/@SIZE@/$(du -ks --apparent-size "$deb/usr" | cut -f1)/" \
    -e "s/@MAINTAINER@/${MAINTAINER:-$name authors <$name@localhost>}/" install/dist/deb/control >"$deb/DEBIAN/control"
install -m 755 install/dist/deb/postinst install/dist/deb/prerm "$deb/DEBIAN"
(cd "$deb" && find usr -type f | sort | xargs md5sum >DEBIAN/md5sums)
settle "$deb"
dpkg-deb --root-owner-group --threads-max=1 -Zxz --build "$deb" "$out/${name}_${version}_$architecture.deb" >/dev/null

# Windows.
tree=$work/$base-windows-amd64
mkdir "$tree"
cp "$common"/* install/windows/*.ps1 "$tree"
cp "$windows" "$tree/$name.exe"
(cd "$tree" && sha256sum "$name.exe" ./*.ps1 | sed 's# \./# #' >SHA256SUMS)
settle "$tree"
rm -f "$out/$(basename "$tree").zip"
(cd "$work" && find "$(basename "$tree")" | sort | zip -q -X -9 "$out/$(basename "$tree").zip" -@)
contents=$(cd "$tree" && sha256sum -- *)
# Both write the time of day into the package, and wixl a random code.
at_that_time() {
    faketime -f "@$(date -u -d "@$SOURCE_DATE_EPOCH" '+%F %T')" "$@" >/dev/null
}
(cd "$tree" && at_that_time wixl --arch x64 -D "VERSION=$version" -D "PRODUCT=$(uuid_of "product $version $contents")" \
    -o "$work/package.msi" "$src/install/dist/$name.wxs")
at_that_time msibuild "$work/package.msi" -s "$name" "$name authors" "x64;1033" "{$(uuid_of "$contents")}"
mv "$work/package.msi" "$out/$(basename "$tree").msi"

# Images.
talos=$work/talos
programs=$talos/rootfs/usr/local/lib/kubelet/credentialproviders
mkdir -p "$programs"
sed "s/@VERSION@/$version/" install/talos/manifest.yaml >"$talos/manifest.yaml"
install -m 755 "$linux" "$programs/$name"
install/dist/oci.sh "$talos" "$out/$base-talos-$architecture.tar" "$architecture" "$name-talos:$version"
mkdir "$work/node"
install -m 755 "$linux" "$work/node/$name"
install/dist/oci.sh "$work/node" "$out/$base-node-$architecture.tar" "$architecture" "$name-node:$version" "/$name"

(cd "$out" && sha256sum -- "$base"* "$name"_* >SHA256SUMS)
