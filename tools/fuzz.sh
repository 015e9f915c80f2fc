#!/usr/bin/env bash
# Runs the fuzz targets, each for so many minutes, by libFuzzer on the stable compiler (`cargo fuzz run NAME` does the same where it and
# a nightly compiler are installed). It begins with the inputs in fuzz/corpus; those that did something new are kept in
# fuzz/target/corpus, and one that broke a claim in fuzz/artifacts.
#
#   tools/fuzz.sh MINUTES [NAME...]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../fuzz"
minutes=$1
shift
if ! [[ $minutes =~ ^[1-9][0-9]*$ ]]; then
    echo "usage: tools/fuzz.sh MINUTES [NAME...]" >&2
    exit 2
fi
names=("$@")
if [ ${#names[@]} -eq 0 ]; then
    names=(frames pgoutput rows subjects headers config acks positions ledgers endpoints)
fi

# The passes that tell libFuzzer which branches were taken and what was compared. With a target named, build scripts go without them.
host=$(rustc -vV | sed -n 's/^host: //p')
export RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1"
cargo build --release --locked --target "$host"

for name in "${names[@]}"; do
    mkdir -p "target/corpus/$name" "artifacts/$name"
    echo "fuzz: $name, $minutes min"
    "target/$host/release/$name" -max_total_time=$((minutes * 60)) -max_len=4096 -rss_limit_mb=1024 -timeout=10 -print_final_stats=1 \
        -artifact_prefix="artifacts/$name/" "target/corpus/$name" "corpus/$name"
done
