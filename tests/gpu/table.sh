#!/usr/bin/env bash
# The tables of recipes/how-fast.md, on a machine with a GPU: bash tests/gpu/table.sh OUT --seconds 540
set -euo pipefail
cd "$(dirname "$0")/../.."
exec "${PYTHON:-python3}" -m tests.gpu.table "${1:-gpu-table}" "${@:2}"
