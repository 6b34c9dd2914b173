#!/bin/sh
# Runs every fuzz target for SECONDS (default 5), as many at a time as there are processors, or JOBS.
# Prints one line a target: its name, the executions and the seconds they took. Exits with 1 if one found something; the input
# is then in artifacts/. What a run learns stays in corpus/ for the next; seeds/ is what everybody starts from.
#
# Needs Rust 1.91 or newer with its own sanitizer runtime (rustup's has it) and a C++ compiler for libFuzzer.
set -eu

seconds=${1:-5}
jobs=${JOBS:-$(getconf _NPROCESSORS_ONLN)}
cd "$(dirname "$0")"
host=$(rustc -vV | sed -n 's/^host: //p')
binaries=${CARGO_TARGET_DIR:-target}/$host/release

# What `cargo fuzz` sets. As a variable, so that they take the place of the repository's flags: a sanitizer cannot be linked
# into a static program. The bootstrap variable lets a stable compiler take `-Zsanitizer`.
RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zsanitizer=address -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares" \
    cargo build --release --target "$host"

fuzz() {
    mkdir -p "corpus/$1" "artifacts/$1"
    log=artifacts/$1.log
    # A request is at most 1 MiB and is answered in far less than a second, however it was made.
    if "$binaries/$1" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=2048 -print_final_stats=1 \
        -artifact_prefix="artifacts/$1/" "corpus/$1" "seeds/$1" >"$log" 2>&1; then
        echo "$1: $(sed -n 's/^Done \([0-9]*\) runs in \([0-9]*\) second.*/\1 executions, \2 s/p' "$log")"
    else
        echo "$1: FOUND SOMETHING"
        grep -a -A 4 -e 'panicked at' -e '^SUMMARY' -e 'Test unit written' "$log" || cat "$log"
        : >"artifacts/$1.failed"
    fi
}

rm -f artifacts/*.failed
running=0
for seeds in seeds/*; do
    fuzz "${seeds#seeds/}" &
    running=$((running + 1))
    if [ "$running" -ge "$jobs" ]; then
        wait
        running=0
    fi
done
wait

for failed in artifacts/*.failed; do
    [ ! -e "$failed" ] || exit 1
done
