#!/bin/sh
# Measures what an answer costs the kubelet, against the limits of the README, and writes benches/RESULTS.md.
#
# The program is KCP_BINARY, by default the release build. It is compared with an empty program of the same linking and
# profile, in turns with it, so that the machine's own speed and the cost of starting a process drop out. RUNS, by default 500,
# runs of each. Run it as root, as the kubelet runs plugins, on a machine that does nothing else.
#
# Exits with 1 when an answer was wrong. A missed limit is printed as missed and is no failure.
set -eu

runs=${RUNS:-500}
# Taken in turns, since a machine is not equally fast for a minute.
rounds=25
parallel=64
image=registry-0.bench.example/team/app

cd "$(dirname "$0")/.."
load=$(cut -d ' ' -f 1 /proc/loadavg)
host=$(rustc -vV | sed -n 's/^host: //p')
release=${CARGO_TARGET_DIR:-target}/$host/release
work=$(mktemp -d)
broker=

# The mark that tells a rolled-back store lies outside the store, and a cached data key in the kernel.
clean_up() {
    [ -z "$broker" ] || kill "$broker" || true
    for store in "$work"/stores/*; do
        [ -e "$store/credentials.sealed" ] || continue
        "$binary" --store "$store" store lock >"$work/log" 2>&1 || true
        rm -f "/run/keyring-credential-provider/$(store_id "$store")"
    done
    rm -rf "$work"
}

store_id() {
    "$binary" --store "$1" --output json store status | sed -n 's/.*"storeId": *"\([0-9a-f]\{32\}\)".*/\1/p'
}

need() {
    command -v "$1" >/dev/null || apt-get install --yes --no-install-recommends "$2" >"$work/log" 2>&1 || {
        echo "needs $1 (Debian: apt-get install $2)" >&2
        exit 1
    }
}

ask() {
    printf '{"kind":"CredentialProviderRequest","apiVersion":"credentialprovider.kubelet.k8s.io/v1","image":"%s"}\n' "$1"
}

# Takes the times out of hyperfine's JSON, where each stands on a line of its own, into a file a case.
collect() {
    awk -v directory="$work/times" '
        /"command":/ { split($0, part, "\""); file = directory "/" part[4] }
        /\]/ { inside = 0 }
        inside { sub(",", ""); print $1 * 1000 >>file }
        /"times":/ { inside = 1 }
    ' "$work/times.json"
}

# column CASE mean|median|min, in milliseconds; nothing when the case was not measured.
column() {
    [ -e "$work/times/$1" ] || return 0
    sort -g "$work/times/$1" | awk -v what="$2" '
        { time[NR] = $1; sum += $1 }
        END { printf "%.2f", what == "mean" ? sum / NR : what == "min" ? time[1] : time[int((NR + 1) / 2)] }'
}

row() {
    [ -n "$(column "$1" median)" ] || { echo "| $2 | not measured: it does not work on this machine | | | |"; return; }
    awk -v name="$2" -v mean="$(column "$1" mean)" -v median="$(column "$1" median)" -v min="$(column "$1" min)" \
        -v empty="$(column "$3" median)" 'BEGIN { printf "| %s | %s | %s | %s | %.2f |\n", name, mean, median, min, median / empty }'
}

# verdict TEXT VALUE LIMIT UNIT
verdict() {
    awk -v text="$1" -v value="$2" -v limit="$3" -v unit="$4" 'BEGIN {
        result = value == "" ? "not measured" : value + 0 <= limit + 0 ? "met" : "MISSED"
        printf "| %s | %s%s | %s%s | %s |\n", text, limit, unit, value == "" ? "-" : value, value == "" ? "" : unit, result
    }'
}

ratio() {
    awk -v a="$1" -v b="$2" 'BEGIN { if (a != "") printf "%.2f", a / b }'
}

need /usr/bin/time time
need readelf binutils
# Debian 12's hyperfine, 1.15, cannot give the program a standard input.
hyperfine=hyperfine
if ! hyperfine --help 2>"$work/log" | grep -q -e --input; then
    tools=${CARGO_TARGET_DIR:-target}/tools
    hyperfine=$tools/bin/hyperfine
    [ -x "$hyperfine" ] || cargo install --locked --version 1.20.0 --root "$tools" hyperfine
fi
cargo build --release --locked --config .cargo/release.toml --bins --example fill --example load --example ecr
binary=$(realpath "${KCP_BINARY:-$release/keyring-credential-provider}")
trap clean_up EXIT
trap 'exit 1' HUP INT TERM

# As in the release profile of Cargo.toml, and as `cargo new` would have it but optimised.
rustc --edition 2024 -C opt-level=3 -C lto -C codegen-units=1 -C strip=symbols -C panic=abort -C target-feature=+crt-static \
    --target "$host" -o "$work/empty-static" benches/programs/empty.rs
rustc --edition 2024 -C opt-level=3 --target "$host" -o "$work/empty-dynamic" benches/programs/empty.rs
if readelf --program-headers --wide "$binary" | grep -q INTERP; then
    linking=dynamic
else
    linking=static
fi

ask "$image" >"$work/request"
mkdir "$work/stores"
for spec in "host-key 20" "host-key 10000" "systemd-creds 20"; do
    source=${spec% *}
    count=${spec#* }
    store=$work/stores/$source-$count
    # shellcheck disable=SC2086 # two words or none
    if "$binary" --store "$store" store init --key-source "$source" 2>"$work/log" &&
        "$release/examples/fill" "$store" "$count" &&
        "$binary" get-credentials --store "$store" <"$work/request" >"$store.answer"; then
        grep -q '"username":"robot-0"' "$store.answer" || { echo "wrong answer from $source" >&2; exit 1; }
    else
        echo "cannot measure $source: $(cat "$work/log")" >&2
        rm -rf "$store"
    fi
done
# Nothing stored for the image: a store of the same size on other hosts, since every case reads the same request.
nothing=$work/stores/nothing
"$binary" --store "$nothing" store init --key-source host-key 2>"$work/log"
"$release/examples/fill" "$nothing" 21
"$binary" --store "$nothing" logout registry-0.bench.example/team 2>"$work/log"
"$binary" get-credentials --store "$nothing" <"$work/request" | grep -q '"auth":{}}' || {
    echo "an answer where nothing is stored" >&2
    exit 1
}
# An issued credential in the cache, and nobody to ask for another: who gives it ends with the first.
issued=$work/stores/aws-ecr-20
"$binary" --store "$issued" store init --key-source host-key 2>"$work/log"
"$release/examples/fill" "$issued" 20
mkfifo "$work/port"
"$release/examples/ecr" >"$work/port" &
read -r port <"$work/port"
printf secret | "$binary" --store "$issued" login registry-0.bench.example/team --issuer aws-ecr --username AKIDBENCH \
    --set region=eu-west-1 --set "endpoint=http://127.0.0.1:$port" --password-stdin 2>"$work/log"
"$binary" get-credentials --store "$issued" <"$work/request" >"$work/log"
wait $!
"$binary" get-credentials --store "$issued" <"$work/request" | grep -q '"username":"AWS"' || {
    echo "no answer from the cache of issued credentials" >&2
    exit 1
}
is_cached=no
if [ -e "$work/stores/systemd-creds-20" ]; then
    is_cached=$("$binary" --store "$work/stores/systemd-creds-20" --output json store lock | sed -n 's/.*"wasCached": *true.*/yes/p')
    "$binary" get-credentials --store "$work/stores/systemd-creds-20" <"$work/request" >"$work/log"
fi

# The broker on the store of 20.
"$binary" --store "$work/stores/host-key-20" broker serve --listen "unix://$work/broker.sock" 2>"$work/broker.log" &
broker=$!
while ! grep -q serving "$work/broker.log"; do sleep 0.05; done
"$binary" get-credentials --broker "unix://$work/broker.sock" <"$work/request" | cmp - "$work/stores/host-key-20.answer"

set -- --command-name empty-dynamic "$work/empty-dynamic" --command-name empty-static "$work/empty-static"
for store in host-key-20 systemd-creds-20 aws-ecr-20 host-key-10000 nothing; do
    [ ! -e "$work/stores/$store" ] || set -- "$@" --command-name "$store" "$binary get-credentials --store $work/stores/$store"
done
set -- "$@" --command-name broker "$binary get-credentials --broker unix://$work/broker.sock"
mkdir "$work/times"
round=0
while [ "$round" -lt "$rounds" ]; do
    round=$((round + 1))
    echo "round $round of $rounds" >&2
    "$hyperfine" --shell=none --input "$work/request" --warmup 5 --runs "$((runs / rounds))" --style none \
        --export-json "$work/times.json" "$@" >"$work/log" 2>&1
    collect
done

# Largest of 20: the pages that a process touches depend on where the kernel puts it.
resident() {
    for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
        /usr/bin/time --format %M --output "$work/rss" "$@" <"$work/request" >"$work/log"
        cat "$work/rss"
    done | sort -n | tail -n 1
}
rss_empty=$(resident "$work/empty-$linking")
rss_20=$(resident "$binary" get-credentials --store "$work/stores/host-key-20")
rss_10000=$(resident "$binary" get-credentials --store "$work/stores/host-key-10000")

# All are started, wait at the gate, and run at once when it opens.
mkfifo "$work/gate"
mkdir "$work/answers"
number=0
asking=
while [ "$number" -lt "$parallel" ]; do
    number=$((number + 1))
    {
        : <"$work/gate"
        exec "$binary" get-credentials --store "$work/stores/host-key-20" <"$work/request" >"$work/answers/$number" 2>&1
    } &
    asking="$asking $!"
done
sleep 1
start=$(date +%s%N)
exec 9>"$work/gate"
# shellcheck disable=SC2086 # a word a process; the broker goes on
wait $asking
end=$(date +%s%N)
exec 9>&-
right=0
for answer in "$work"/answers/*; do
    ! cmp -s "$answer" "$work/stores/host-key-20.answer" || right=$((right + 1))
done
wall=$(((end - start) / 1000000))

# 200 clients of the broker, five requests a second each, then all without a pause, then 100,000 for its memory.
rss_broker() {
    sed -n 's/^VmRSS:[[:space:]]*\([0-9]*\) kB/\1/p' "/proc/$broker/status"
}
paced=$("$release/examples/load" "$work/broker.sock" "$image" 200 10000 200)
flood=$("$release/examples/load" "$work/broker.sock" "$image" 200 10000 0)
rss_before=$(rss_broker)
"$release/examples/load" "$work/broker.sock" "$image" 200 100000 0 >"$work/log"
rss_after=$(rss_broker)

# field NUMBER WORDS
field() {
    echo "$2" | cut -d ' ' -f "$1"
}

empty=$(column "empty-$linking" median)
added=$(awk -v a="$(column host-key-10000 median)" -v b="$(column host-key-20 median)" 'BEGIN { printf "%.2f", a - b }')
cpu=$(sed -n 's/^model name[^:]*: *//p' /proc/cpuinfo | head -n 1)
system=$(sed -n 's/^PRETTY_NAME="\(.*\)"/\1/p' /etc/os-release)
cached=""
[ "$is_cached" != yes ] || cached=$(ratio "$(column systemd-creds-20 median)" "$empty")

{
    echo "# What an answer costs"
    echo
    echo "Written by \`benches/run.sh\` on $(date -u +%Y-%m-%d): $cpu, $(getconf _NPROCESSORS_ONLN) processors, Linux $(uname -r | cut -d . -f 1,2), ${system:-unknown system}, uid $(id -u), load $load before it began."
    echo "$("$hyperfine" --version), $runs runs of each in $rounds turns, times in milliseconds from start to end of the process."
    echo "The program is linked $linking; ratios are of the medians, to the empty program that is linked so too."
    echo
    echo "| program | mean | median | min | ratio |"
    echo "|---|---|---|---|---|"
    row empty-static "empty, static" "empty-$linking"
    row empty-dynamic "empty, dynamic" "empty-$linking"
    row host-key-20 "20 entries, \`host-key\`" "empty-$linking"
    row systemd-creds-20 "20 entries, \`systemd-creds\`, data key cached" "empty-$linking"
    row aws-ecr-20 "20 entries, \`host-key\`, issued by \`aws-ecr\`, cached" "empty-$linking"
    row nothing "20 entries, \`host-key\`, none for the image" "empty-$linking"
    row broker "20 entries, through the broker" "empty-$linking"
    row host-key-10000 "10,000 entries, \`host-key\`" "empty-$linking"
    echo
    echo "Resident at most: $rss_20 KiB with 20 entries, $rss_10000 KiB with 10,000; the empty program, $rss_empty KiB."
    echo "$parallel at once: $right right answers, $wall ms for all."
    echo
    echo "Broker, 200 clients, times in milliseconds: 1,000 requests a second, median $(field 3 "$paced"), p99 $(field 4 "$paced"), at most $(field 5 "$paced"); all at once without a pause, median $(field 3 "$flood"), p99 $(field 4 "$flood"). Resident: $rss_before KiB before and $rss_after KiB after 100,000 requests."
    echo
    echo "| limit | allowed | measured | |"
    echo "|---|---|---|---|"
    verdict "20 entries, \`host-key\`, to the empty program" "$(ratio "$(column host-key-20 median)" "$empty")" 1.5 " x"
    verdict "20 entries, resident" "$rss_20" 4096 " KiB"
    verdict "\`systemd-creds\` once cached, to the empty program" "$cached" 2 " x"
    verdict "\`aws-ecr\` with a warm cache, to the static answer" "$(ratio "$(column aws-ecr-20 median)" "$(column host-key-20 median)")" 2 " x"
    verdict "10,000 entries, added to 20" "$added" 5 " ms"
    verdict "through the broker, to the direct answer" "$(ratio "$(column broker median)" "$(column host-key-20 median)")" 2.5 " x"
    verdict "broker, p99 of 10,000 requests of 200 clients" "$(field 4 "$paced")" 5 " ms"
    verdict "broker, failed requests of 10,000" "$(field 2 "$paced")" 0 ""
    verdict "broker, memory added by 100,000 requests" "$((rss_after - rss_before))" 4096 " KiB"
    verdict "the program, static and stripped" "$(awk -v bytes="$(wc -c <"$binary")" 'BEGIN { printf "%.2f", bytes / 1e6 }')" 6 " MB"
    verdict "wrong answers of $parallel at once" "$((parallel - right))" 0 ""
} >benches/RESULTS.md
cat benches/RESULTS.md
[ "$right" -eq "$parallel" ]
