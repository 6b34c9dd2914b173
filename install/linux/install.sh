#!/bin/sh
# Installs keyring-credential-provider on a Linux node from a file that is already there: nothing is downloaded.
#
# Usage: install.sh [--binary FILE] [--sha256 HEX] [--key-source SOURCE] [--no-store] [ARGUMENT...]
#
#   --binary FILE        the program; default: `keyring-credential-provider` beside this script
#   --sha256 HEX         what its SHA-256 must be; default: its line in `SHA256SUMS` beside it
#   --key-source SOURCE  where a new store has its key; default: what `store init` chooses
#   --no-store           make no store
#   ARGUMENT...          for `node apply`: --dry-run, --yes, --restart, --flavour F, --bin-dir DIR, --config FILE, ...
#
# A thin shell around the program: it checks who runs it, the sum and the architecture, makes a store where there is none,
# and gives the rest to the program's own `node apply`, which plans, validates, backs up, writes and rolls back. The file
# that runs is a copy that only root can change, made before the check. With --dry-run or --root, no store is made.
#
# Exit codes are those of the program: 0 done, 1 failed, 2 usage, 6 conflict, 7 rolled back, 8 roll-back failed, 9 needs
# root, 10 a dry run found changes.
set -eu

name=keyring-credential-provider

# fail CODE MESSAGE [HINT]
fail() {
    echo "error: $2" >&2
    [ $# -lt 3 ] || echo "hint: $3" >&2
    exit "$1"
}

# The machine that an ELF file is for, as `uname -m` says it; nothing for any other file.
machine_of() {
    # Magic, 64 bits, little-endian; the machine is the half-word at 18.
    case $(od -An -v -tx1 -N20 "$1" | tr -d ' \n') in
        7f454c460201????????????????????????3e00) echo x86_64 ;;
        7f454c460201????????????????????????b700) echo aarch64 ;;
    esac
}

# The sum of the file $1 in the list $2: `HEX  NAME` or `HEX *NAME`.
listed_sum() {
    awk -v name="$1" '{ file = substr($0, length($1) + 3) } file == name { print $1 }' "$2"
}

here=$(cd "$(dirname "$0")" && pwd)
binary=$here/$name
sum=
key_source=
make_store=yes
# What is not ours goes on in its order: each argument leaves at the front, and those passed on come back at the end.
count=$#
while [ "$count" -gt 0 ]; do
    argument=$1
    shift
    count=$((count - 1))
    case $argument in
        --binary | --sha256 | --key-source)
            [ "$count" -gt 0 ] || fail 2 "\`$argument\` needs a value" "see the head of $0"
            case $argument in
                --binary) binary=$1 ;;
                --sha256) sum=$1 ;;
                *) key_source=$1 ;;
            esac
            shift
            count=$((count - 1))
            ;;
        --no-store) make_store= ;;
        -h | --help)
            sed -n '2,/^set -eu/{/^#/s/^# \{0,1\}//p;}' "$0"
            exit 0
            ;;
        *)
            # Nothing is made on a dry run, and another root has another store.
            case $argument in --dry-run | --root | --root=*) make_store= ;; esac
            set -- "$@" "$argument"
            ;;
    esac
done

[ "$(uname -s)" = Linux ] || fail 1 "this installs on Linux, and this is $(uname -s)"
[ "$(id -u)" = 0 ] || fail 9 "needs root" "run it with \`sudo\`"
[ -f "$binary" ] || fail 1 "no file at \`$binary\`" "give \`--binary FILE\`"

umask 077
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
copy=$work/$name
cp -- "$binary" "$copy"

if [ -z "$sum" ]; then
    list=$(dirname "$binary")/SHA256SUMS
    [ -f "$list" ] || fail 1 "no sum to check \`$binary\` against" "give \`--sha256 HEX\`, or put \`SHA256SUMS\` beside it"
    sum=$(listed_sum "$(basename "$binary")" "$list")
    [ -n "$sum" ] || fail 1 "\`$list\` has no line for \`$(basename "$binary")\`" "give \`--sha256 HEX\`"
fi
sum=$(echo "$sum" | tr 'A-F' 'a-f')
found=$(sha256sum <"$copy" | cut -c1-64)
[ "$found" = "$sum" ] ||
    fail 1 "the SHA-256 of \`$binary\` is $found, and must be $sum" "fetch the file again; do not run it"

machine=$(machine_of "$copy")
[ -n "$machine" ] || fail 1 "\`$binary\` is no program for 64-bit Linux"
[ "$machine" = "$(uname -m)" ] || fail 1 "\`$binary\` is for $machine, and this node is $(uname -m)"

chmod 700 "$copy"
"$copy" --version >/dev/null ||
    fail 1 "\`$work\` lets no program run" "set TMPDIR to a directory on a file system without \`noexec\`"

if [ -n "$make_store" ]; then
    code=0
    "$copy" store init --if-missing ${key_source:+--key-source "$key_source"} || code=$?
    [ "$code" = 0 ] || exit "$code"
fi

code=0
"$copy" node apply --binary "$copy" "$@" || code=$?
exit "$code"
