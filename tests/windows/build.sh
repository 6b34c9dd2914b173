#!/bin/sh
# Builds the program for Windows, and a Wine prefix to run it in, both below target/windows. What is up to date is left alone.
#
# Prints where they are, for `eval`:
#     KCP_WINDOWS_BINARY='.../keyring-credential-provider.exe'
#     KCP_WINE_PREFIX='.../wine'
#
# Debian's compiler builds its own standard library for Windows from the source that Debian ships with it, so nothing but
# Debian's packages and the crates of Cargo.lock is needed. Missing packages are installed where the caller may do so.
set -eu

cd "$(dirname "$0")/../.."

packages="rustc-web rust-web-src rust-web-clippy cargo-web gcc-mingw-w64-x86-64 wine wine64"
target=x86_64-pc-windows-gnu
out=$(pwd)/target/windows
prefix=$out/wine

say() {
    echo "$0: $*" >&2
}

install_packages() {
    missing=
    for package in $packages; do
        status=$(dpkg-query --show --showformat '${db:Status-Status}' "$package" 2>/dev/null) || status=
        [ "$status" = installed ] || missing="$missing $package"
    done
    [ -n "$missing" ] || return 0
    if ! command -v apt-get >/dev/null || [ "$(id -u)" -ne 0 ]; then
        say "these Debian packages are missing:$missing"
        say "on Debian 12, as root: apt-get install --no-install-recommends$missing"
        exit 1
    fi
    say "installing$missing"
    apt-get update >&2
    # shellcheck disable=SC2086 # one word a package
    DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends $missing >&2
}

# Debug assertions are on, as in the tests of the other systems; KCP_WINDOWS_PROFILE=release builds what is shipped. The compiler
# is Clippy's: what is written for Windows alone is linted here and nowhere else.
build_program() {
    # The source that `-Z build-std` takes belongs to Debian's compiler, so a rustup on the path must stay out of it.
    env -u RUSTFLAGS -u CARGO_ENCODED_RUSTFLAGS -u CARGO_BUILD_TARGET -u RUSTC_WRAPPER -u RUSTUP_TOOLCHAIN \
        RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR="$out" \
        RUSTC_WORKSPACE_WRAPPER=/usr/bin/clippy-driver CLIPPY_ARGS=-Dwarnings__CLIPPY_HACKERY__ \
        /usr/bin/cargo build --locked --profile "$profile" \
        --config 'profile.dev.panic="abort"' --config profile.dev.debug=false \
        -Z build-std=std,panic_abort --target "$target" >&2
}

# Wine without a display, without its offers to install browsers and .NET, and without links into the home directory.
run_wine() {
    env -u DISPLAY HOME="$out" WINEPREFIX="$1" WINEARCH=win64 WINEDEBUG=-all \
        WINEDLLOVERRIDES='mscoree=;mshtml=;winemenubuilder.exe=' "$2" "$3" >/dev/null 2>&1 </dev/null
}

make_prefix() {
    stamp=$(dpkg-query --show wine64 && cat tests/windows/build.sh tests/windows/bcryptprimitives.c | cksum)
    if [ "$(cat "$prefix/stamp" 2>/dev/null)" = "$stamp" ]; then
        return 0
    fi
    say "making a Wine prefix"
    [ ! -d "$prefix" ] || run_wine "$prefix" wineserver -k || true
    rm -rf "$prefix"
    run_wine "$prefix" wineboot --init
    run_wine "$prefix" wineserver -w
    x86_64-w64-mingw32-gcc -O2 -shared -nostdlib -Wl,--entry=0 \
        -o "$prefix/drive_c/windows/system32/bcryptprimitives.dll" tests/windows/bcryptprimitives.c -ladvapi32
    echo "$stamp" >"$prefix/stamp"
}

profile=${KCP_WINDOWS_PROFILE:-dev}
install_packages
mkdir -p "$out"
# Held until the script ends: two runs at a time would build one prefix.
exec 9>"$out/lock"
flock 9
build_program
make_prefix 9>&-

case $profile in
dev) profile_dir=debug ;;
*) profile_dir=$profile ;;
esac
echo "KCP_WINDOWS_BINARY='$out/$target/$profile_dir/keyring-credential-provider.exe'"
echo "KCP_WINE_PREFIX='$prefix'"
