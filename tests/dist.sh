#!/bin/sh
# Packs what is released twice and looks into it. Usage: tests/dist.sh LINUX_PROGRAM WINDOWS_PROGRAM
#
# The Windows program may be an unoptimised one: what is tested is the packing. Tools of others read what was packed: dpkg-deb,
# msitools, unzip, skopeo.
set -eu
cd "$(dirname "$0")/.."

name=keyring-credential-provider
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# is WHAT EXPECTED FOUND
is() {
    if [ "$2" != "$3" ]; then
        printf 'wrong: %s\nexpected:\n%s\nfound:\n%s\n' "$1" "$2" "$3" >&2
        exit 1
    fi
}

sums() {
    (cd "$1" && find . -type f | sort | xargs sha256sum)
}

export SOURCE_DATE_EPOCH=1700000000
install/dist/dist.sh "$1" "$2" "$work/one"
# The second time from copies with other times, elsewhere, as a careful and distant person.
mkdir "$work/copies"
cp "$1" "$work/copies/linux"
cp "$2" "$work/copies/windows"
(umask 077 && TZ=Pacific/Auckland LANG=de_DE.UTF-8 install/dist/dist.sh "$work/copies/linux" "$work/copies/windows" "$work/two")
is "bytes of two runs" "$(sums "$work/one")" "$(sums "$work/two")"

cd "$work/one"
sha256sum --check --strict --quiet SHA256SUMS
arch=$(dpkg --print-architecture)
base=$name-$version
expected="SHA256SUMS
$base-linux-$arch.tar.gz
$base-linux.cdx.json
$base-node-$arch.tar
$base-talos-$arch.tar
$base-windows-amd64.msi
$base-windows-amd64.zip
$base-windows.cdx.json
${name}_${version}_$arch.deb"
is "files" "$expected" "$(find . -type f | sed 's#^\./##' | LC_ALL=C sort)"
is "files with a sum" "$(echo "$expected" | tail -n +2)" "$(sed 's/^[0-9a-f]*  //' SHA256SUMS | LC_ALL=C sort)"

# The tarball: what its installer checks is what is in it.
tar -xzf "$base-linux-$arch.tar.gz" -C "$work"
tree=$work/$base-linux-$arch
is "owner of all in the tarball" 0/0 "$(tar -tvzf "$base-linux-$arch.tar.gz" | awk '{ print $2 }' | sort -u)"
(cd "$tree" && sha256sum --check --strict --quiet SHA256SUMS)
is "program" "$name $version" "$("$tree/$name" --version)"
cmp "$tree/$name" "$1"
printf x >>"$tree/$name"
code=0
said=$("$tree/install.sh" 2>&1) || code=$?
is "installer on a damaged program" "1 error: the SHA-256 of \`$tree/$name\`" "$code $(echo "$said" | head -n 1 | cut -d' ' -f1-5)"

# The Debian package.
deb=${name}_${version}_$arch.deb
# shellcheck disable=SC2016 # dpkg-deb fills it in
is "package" "$name $version $arch" "$(dpkg-deb -W --showformat='${Package} ${Version} ${Architecture}' "$deb")"
is "owner of all in the package" root/root "$(dpkg-deb -c "$deb" | awk '{ print $2 }' | sort -u)"
is "modes in the package" "-rw-r--r-- -rwxr-xr-x drwxr-xr-x lrwxrwxrwx" "$(dpkg-deb -c "$deb" | cut -c1-10 | LC_ALL=C sort -u | xargs)"
dpkg-deb -R "$deb" "$work/deb"
cmp "$work/deb/usr/bin/$name" "$1"
(cd "$work/deb" && md5sum --check --strict --quiet DEBIAN/md5sums)
is "beside the program" "$name" "$(ls "$work/deb/usr/libexec/$name/bin")"
gzip -dc "$work/deb/usr/share/man/man1/$name.1.gz" | grep -q '^\.TH '
is "next step" "$name: next, as root: $name store init, then $name node plan" "$("$work/deb/DEBIAN/postinst" configure "")"
is "nothing said on an upgrade" "" "$("$work/deb/DEBIAN/postinst" configure 0.0.1)"
"$work/deb/DEBIAN/prerm" remove
mkfifo "$work/fifo"
for flag in --image-credential-provider-bin-dir=/usr/libexec/$name/bin /usr/libexec/$name/bin/; do
    # It ends with its standard input.
    sh -c 'read -r _' kubelet "$flag" <"$work/fifo" &
    child=$!
    exec 3>"$work/fifo"
    code=0
    said=$("$work/deb/DEBIAN/prerm" remove 2>&1) || code=$?
    is "removal under a running kubelet" \
        "1 $name: a running kubelet uses it; run this first: $name node uninstall --restart" "$code $said"
    "$work/deb/DEBIAN/prerm" upgrade "$version"
    exec 3>&-
    wait "$child" || true
done

# Windows: the archive and the package hold the same, the sums are right, and nothing runs at installation.
unzip -q "$base-windows-amd64.zip" -d "$work/zip"
tree=$work/zip/$base-windows-amd64
(cd "$tree" && sha256sum --check --strict --quiet SHA256SUMS)
cmp "$tree/$name.exe" "$2"
is "files of the archive" "CHANGELOG.md
Install-KeyringCredentialProvider.ps1
LICENSE
Program.ps1
README.md
SECURITY.md
SHA256SUMS
THIRD-PARTY-LICENSES
Uninstall-KeyringCredentialProvider.ps1
$name.exe" "$(find "$tree" -type f -printf '%f\n' | LC_ALL=C sort)"
msi=$base-windows-amd64.msi
msiextract -C "$work/msi" "$msi" >/dev/null
is "files of the package" "$(sums "$tree")" "$(sums "$(dirname "$(find "$work/msi" -name "$name.exe")")")"
property() {
    msiinfo export "$msi" Property | tr -d '\r' | sed -n "s/^$1	//p"
}
is "per machine" 1 "$(property ALLUSERS)"
is "version" "$version" "$(property ProductVersion)"
# It never changes, or a new version is installed beside the old one.
is "upgrade code" "{6F1C2F0E-6D5D-4C5E-9D7E-2B6F5A4B8F11}" "$(property UpgradeCode)"
is "codes without a capital" "" "$(for table in Property Component Upgrade; do msiinfo export "$msi" $table; done | grep -E '\{[0-9A-F-]*[a-f]' || true)"
is "older versions are removed" "{6F1C2F0E-6D5D-4C5E-9D7E-2B6F5A4B8F11} 1" \
    "$(msiinfo export "$msi" Upgrade | tr -d '\r' | sed -n 's/\t.*WIX_UPGRADE_DETECTED$/ 1/p')"
is "directory" "ProgramFiles64Folder $name" \
    "$(msiinfo export "$msi" Directory | tr -d '\r' | sed -n 's/^INSTALLDIR\t\(.*\)\t\(.*|\)\?\(.*\)$/\1 \3/p')"
is "actions of our own" "" "$(msiinfo export "$msi" CustomAction | tail -n +4)"
is "64-bit" "Template: x64;1033" "$(msiinfo suminfo "$msi" | grep ^Template)"

# Images: skopeo checks every digest and size on its way.
for image in talos node; do
    skopeo copy --quiet "oci-archive:$base-$image-$arch.tar" "dir:$work/$image"
    layer=$work/$image/$(jq -r '.layers[].digest[7:]' "$work/$image/manifest.json")
    mkdir "$work/$image/root"
    tar -xzf "$layer" -C "$work/$image/root"
    is "owner and modes of $image" "-rw-r--r-- 0/0 -rwxr-xr-x 0/0 drwxr-xr-x 0/0" \
        "$( (echo '-rw-r--r-- 0/0'; tar -tvzf "$layer" | awk '{ print $1, $2 }') | LC_ALL=C sort -u | xargs)"
done
is "files of the extension" "./manifest.yaml
./rootfs/usr/local/lib/kubelet/credentialproviders/$name" "$(cd "$work/talos/root" && find . -type f | LC_ALL=C sort)"
cmp "$work/talos/root/rootfs/usr/local/lib/kubelet/credentialproviders/$name" "$1"
is "its version" "  version: \"$version\"" "$(grep '^  version:' "$work/talos/root/manifest.yaml")"
is "files of the DaemonSet's image" "./$name" "$(cd "$work/node/root" && find . -type f)"
is "what it runs" "/$name" "$(skopeo inspect --config "oci-archive:$base-node-$arch.tar" | jq -r '.config.Entrypoint | join(" ")')"
# It runs where there is nothing else.
is "alone in its root" "$name $version" "$(chroot "$work/node/root" "/$name" --version)"

# Bills of materials: what is linked on each system, no more.
names() {
    jq -r '.components[].name' "$base-$1.cdx.json"
}
is "format" "CycloneDX 1.5 2023-11-14T22:13:20Z $name@$version" \
    "$(jq -r '"\(.bomFormat) \(.specVersion) \(.metadata.timestamp) \(.metadata.component | "\(.name)@\(.version)")"' "$base-linux.cdx.json")"
is "on Linux" "linux-keyutils serde_json" "$(names linux | grep -xE 'serde_json|linux-keyutils|windows-sys|clap_derive|proptest|tree-sitter' | xargs)"
is "on Windows" "serde_json windows-sys" "$(names windows | grep -xE 'serde_json|linux-keyutils|windows-sys|clap_derive|proptest|tree-sitter' | sort -u | xargs)"
is "licences" 0 "$(jq '[.components[] | select(.licenses[].expression | test("^NOASSERTION$|/"))] | length' "$base-linux.cdx.json")"
is "references to nothing" "[]" "$(jq -c '[.dependencies[].dependsOn[]] - [.dependencies[].ref]' "$base-linux.cdx.json")"
# A package of ours has the program's licence.
for crate in $(names linux | grep -v "^$name-"); do
    grep -q "^==== $crate " "$work/deb/usr/share/doc/$name/copyright" || is "licence of a library" "$crate" ""
done
echo "dist: well packed"
