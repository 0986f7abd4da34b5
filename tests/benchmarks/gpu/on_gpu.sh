#!/usr/bin/env bash
# Everything that needs a GPU, from a checkout on a machine without network, in one call of under ten
# minutes, what tells most first: facts and first operations, the table against PyTorch, the tests
# marked `cuda`, compute-sanitizer over our own kernels. Each step has a time limit and a log, which
# holds what there was when it ended, in $OUT, if set. PYTHON names the interpreter (python3), TABLE
# what the table takes (`tiny` for a trial without a GPU).
set -u
root=$(cd "$(dirname "$0")/../../.." && pwd)
python=${PYTHON:-python3}
work=$(mktemp -d)
out=${OUT:-$work}
trap 'rm -rf "$work"' EXIT

# The package as it would be installed: `runtime` is flambeau, the other folders its subpackages.
mkdir "$work/flambeau"
ln -s "$root"/runtime/* "$work/flambeau/"
ln -s "$root/kernel" "$root/magics" "$root/repl" "$work/flambeau/"
export PYTHONPATH="$work:$root" FLAMBEAU_CACHE="$work/cache" PYTHONDONTWRITEBYTECODE=1
export PYTHONFAULTHANDLER=1
cd "$root" || exit 1

failed=0
step() {  # step NAME SECONDS COMMAND...: runs it, tells how it went, and shows the end of its log
    local name=$1 seconds=$2 began=$SECONDS status=0
    shift 2
    timeout -k 5 "$seconds" "$@" >"$out/$name.log" 2>&1 || status=$?
    [ $status = 0 ] || failed=1
    printf '\n== %s: exit %s, %s s\n' "$name" "$status" "$((SECONDS - began))"
    tail -n "${TAIL:-6}" "$out/$name.log"
}

parallel=() few=()  # processes, of which one that lost the GPU is replaced
"$python" -c 'import xdist' 2>/dev/null && parallel=(-n 12) few=(-n 4)
export FAILURES="$out/failures.log"
tests=("$python" -m pytest -q -p no:cacheprovider -p tests.benchmarks.gpu.failures --tb=short
    -o faulthandler_timeout=40)
kernels=(tests/runtime/cuda/test_{attention,convolutions}.py tests/runtime/test_cuda_readings.py)
sharing="softmax or norm or sum or max or var or scatter or embedding or attention"  # shared memory
sharing+=" or conv2d or topk or sort or transpose"
TAIL=30 step smoke 70 env CUDA_LAUNCH_BLOCKING=1 "$python" -m tests.benchmarks.gpu.smoke
# shellcheck disable=SC2086
TAIL=60 step table 210 "$python" -m tests.benchmarks cuda ${TABLE:-}
TAIL=15 step tests 150 "${tests[@]}" "${parallel[@]}" --maxfail=60 -m cuda \
    tests/runtime/cuda tests/runtime/test_cuda*.py tests/test_gpu_table.py
if command -v compute-sanitizer >/dev/null; then
    check=(compute-sanitizer --error-exitcode 9 --target-processes all)
    step memcheck 70 "${check[@]}" --tool memcheck "${tests[@]}" "${few[@]}" "${kernels[@]}" \
        -k bfloat16
    step racecheck 50 "${check[@]}" --tool racecheck "${tests[@]}" "${few[@]}" "${kernels[@]}" \
        -k "several_tiles or bfloat16 and (attention or convolutions) or float32 and ($sharing)"
fi
if [ -s "$FAILURES" ]; then  # what a step that was cut off has not told
    echo "== failures"
    grep -E '^(== |E  )' "$FAILURES" | cut -c 1-200 | head -n 60
fi
exit $failed
