#!/usr/bin/env bash
# The tables of recipes/how-fast.md, on a machine with a GPU: both sizes of model, steady state, exact and fast, as
# Markdown and JSON.
# Every recorded case must hold on the device first, so that what is timed is what is right.
set -euo pipefail
cd "$(dirname "$0")/../.."
out=${1:-gpu-table}
mkdir -p "$out"
run="${PYTHON:-python3} -m lingbot_cli"
for case in tests/data/reference/cases/*/; do
    $run parity "$case" --device cuda | tee -a "$out/parity.txt"
done
${PYTHON:-python3} -m tests.gpu.check_device cuda | tee "$out/device.txt"
bench() { # OUT MODEL CHUNKS LEVERS…
    local json=$1 model=$2 chunks=$3
    $run bench --model "$model" --random-weights --size 832x480 --chunks "$chunks" --quality draft --json \
        "${@:4}" > "$out/$json.json"
}
compare() { # BEFORE AFTER MARKDOWN
    $run bench --compare "$out/$1.json" "$out/$2.json" --markdown | tee "$out/$3.md"
}
for model in lingbot-world-v2-1.3b-causal-fast lingbot-world-v2-14b-causal-fast; do
    bench "$model-4" "$model" 4
    bench "$model-40" "$model" 40
    # The same chunk, early and late in a film: the last column must be 1.00×.
    compare "$model-4" "$model-40" "$model"
    # What --fast takes here together, then each lever alone; the row of levers says which they were.
    bench "$model-fast" "$model" 8 --fast
    compare "$model-40" "$model-fast" "$model-fast"
    for lever in linears=fp8 attention=int8 window=14; do
        # Eight-bit attention needs its package: where that is missing the table goes on without it.
        bench "$model-$lever" "$model" 8 "--$lever" || { [ "$lever" = attention=int8 ] && continue; }
        compare "$model-40" "$model-$lever" "$model-$lever"
    done
done
# How far fp8 linears and int8 attention lead from the exact ones on this device.
${PYTHON:-python3} -m tests.gpu.check_levers | tee "$out/levers.txt"
