#!/usr/bin/env bash
# The table of recipes/how-fast.md, on a machine with a GPU: both sizes of model, steady state, as Markdown and JSON.
# Every recorded case must hold on the device first, so that what is timed is what is right.
set -euo pipefail
cd "$(dirname "$0")/../.."
out=${1:-gpu-table}
mkdir -p "$out"
run="${PYTHON:-python3} -m lingbot_cli"
for case in tests/data/reference/cases/*/; do
    $run parity "$case" --device cuda | tee -a "$out/parity.txt"
done
for model in lingbot-world-v2-1.3b-causal-fast lingbot-world-v2-14b-causal-fast; do
    for chunks in 4 40; do
        $run bench --model "$model" --random-weights --size 832x480 --chunks "$chunks" --quality draft --json \
            > "$out/$model-$chunks.json"
    done
    # The same chunk, early and late in a film: the last column must be 1.00×.
    $run bench --compare "$out/$model-4.json" "$out/$model-40.json" --markdown | tee "$out/$model.md"
done
