#!/bin/bash
# ./dev gpu-test: the tests that need a GPU, from a pack. Usage: tests/gpu/run.sh [device] [ops] [models] [faults] [devices] [sanitize]
# Without a part: all but sanitize, which runs the op table under compute-sanitizer.
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

# What the driver refuses, each in a process of its own: memory that runs out, a faulty kernel, files that change.
faults() {
  python3 "$root/tests/gpu/faults.py" 2>&1 | tee "$out/faults.log" || failed=1
}

# What needs several GPUs.
devices() {
  python3 "$root/tests/gpu/devices.py" 2>&1 | tee "$out/devices.log" || failed=1
}

# The folders where CUDA's tools may be; the first that has compute-sanitizer counts.
find_sanitizer() {
  local folder home=${CUDA_HOME:-/usr/local/cuda}
  for folder in "$(dirname "$(command -v compute-sanitizer || echo /nowhere/x)")" "$home/bin" "$home/compute-sanitizer" \
    /usr/local/cuda*/bin /usr/local/cuda*/compute-sanitizer; do
    [[ -x $folder/compute-sanitizer ]] && echo "$folder/compute-sanitizer" && return
  done
  return 1
}

# sanitize_with TOOL: the op table under one tool of the sanitizer, in shards. What the driver refuses is no error
# here: our code asks it and reads its answers.
sanitize_with() {
  local tool=$1 shards=12 shard pids=() bad=0 filter="${HEADRACE_GPU_OPS:-*cuda*}"
  for ((shard = 0; shard < shards; ++shard)); do
    GTEST_TOTAL_SHARDS=$shards GTEST_SHARD_INDEX=$shard "$sanitizer" --tool "$tool" --error-exitcode 77 \
      --report-api-errors no --print-limit 20 "$pack/bin/headrace_op_conformance_test" --gtest_brief=1 \
      --gtest_filter="$filter" >"$out/$tool.$shard.log" 2>&1 &
    pids+=($!)
  done
  for shard in "${!pids[@]}"; do
    wait "${pids[$shard]}" && continue
    bad=1
    echo "$tool: shard $shard failed; the end of $tool.$shard.log:"
    tail -n 25 "$out/$tool.$shard.log"
  done
  local summaries
  summaries=$(grep -h 'ERROR SUMMARY' "$out/$tool".*.log)
  echo "$tool: $(grep -c 'ERROR SUMMARY: 0 errors' <<<"$summaries") of $shards shards without errors"
  # A sanitizer that could not start has no summary: nothing was checked then.
  [[ $(grep -c . <<<"$summaries") == "$shards" ]] || bad=1
  ((bad)) && failed=1
}

sanitize() {
  local sanitizer
  if ! sanitizer=$(find_sanitizer); then
    echo "there is no compute-sanitizer on PATH, in \$CUDA_HOME or in /usr/local/cuda; it comes with the CUDA toolkit" >&2
    failed=1
    return
  fi
  sanitize_with memcheck
  sanitize_with initcheck
}

(($#)) || set -- device ops models faults devices
for part; do
  [[ $part =~ ^(device|ops|models|faults|devices|sanitize)$ ]] || { echo "gpu-test: there is no part '$part'" >&2; exit 2; }
  echo "== $part"
  "$part"
done
exit $failed
