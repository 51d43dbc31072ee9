#!/bin/bash
# ./dev gpu-test: the tests that need a GPU, from a pack. Usage: tests/gpu/run.sh [device] [ops] [models]
set -uo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
pack=$root/build/gpu-pack
source "$root/tests/gpu/environment.sh"
out=${OUT:-$root/build/gpu-results}
mkdir -p "$out"
failed=0

device() {
  for program in "$pack"/bin/headrace_{device,kernels}_cuda_test; do
    [[ -x $program ]] || continue
    "$program" --gtest_brief=1 >"$out/$(basename "$program").log" 2>&1 || failed=1
    tail -n 30 "$out/$(basename "$program").log"
  done
}

ops() {
  local shards=8 shard pids=()
  for ((shard = 0; shard < shards; ++shard)); do
    GTEST_TOTAL_SHARDS=$shards GTEST_SHARD_INDEX=$shard "$pack/bin/headrace_op_conformance_test" --gtest_brief=1 \
      --gtest_filter='*cuda*' >"$out/ops.$shard.log" 2>&1 &
    pids+=($!)
  done
  for pid in "${pids[@]}"; do wait "$pid" || failed=1; done
  grep -h '^\[  PASSED\|tests* ran' "$out"/ops.*.log
  grep -h '^\[  FAILED  \]' "$out"/ops.*.log | sort | uniq | head -n 60
}

models() {
  python3 "$root/tests/models/accuracy.py" --device cuda --results "$out/accuracy.json" ${HEADRACE_GPU_MODELS:-} 2>&1 | tee "$out/models.log" || failed=1
}

(($#)) || set -- device ops models
for part; do
  echo "== $part"
  "$part"
done
exit $failed
