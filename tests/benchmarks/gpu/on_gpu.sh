#!/usr/bin/env bash
# Everything that needs a GPU, from a checkout on a machine without network, in one call of under nine
# minutes: the tests marked `cuda`, compute-sanitizer over our own kernels, and the table against
# PyTorch. Logs and the table go to $OUT, if set. PYTHON names the interpreter (python3).
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
cd "$root" || exit 1

failed=0
step() {  # step NAME SECONDS COMMAND...: runs it, tells how it went, and shows the end of its log
    local name=$1 seconds=$2 began=$SECONDS status=0
    shift 2
    timeout -k 5 "$seconds" "$@" >"$out/$name.log" 2>&1 || status=$?
    [ $status = 0 ] || failed=1
    echo "== $name: exit $status, $((SECONDS - began)) s"
    tail -n "${TAIL:-6}" "$out/$name.log"
}

parallel=()
"$python" -c 'import xdist' 2>/dev/null && parallel=(-n 6)
tests=("$python" -m pytest -q -p no:cacheprovider --tb=short)
kernels=tests/runtime/test_cuda_readings.py
TAIL=15 step tests 210 "${tests[@]}" "${parallel[@]}" --maxfail=40 -m cuda tests/runtime/test_cuda*.py tests/test_gpu_table.py
if command -v compute-sanitizer >/dev/null; then
    check=(compute-sanitizer --error-exitcode 9 --target-processes all)
    step memcheck 90 "${check[@]}" --tool memcheck "${tests[@]}" $kernels -k bfloat16
    step racecheck 60 "${check[@]}" --tool racecheck "${tests[@]}" $kernels \
        -k "float32 and (softmax or norm or sum or max or var or scatter or embedding or attention)"
fi
TAIL=60 step table 170 "$python" -m tests.benchmarks cuda
exit $failed
