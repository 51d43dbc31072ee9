#!/bin/bash
# ./dev gpu-pack: all that tests and benchmarks on a CUDA machine need, in one folder (build/gpu-pack), for machines that
# reach no registry and have no compiler. Their Python is HEADRACE_PACK_PYTHON (default: that of .venv); the CUDA libraries
# (cuBLASLt, cuDNN, NVRTC) and PyTorch are theirs.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
build=build/gpu pack=build/gpu-pack python=${HEADRACE_PACK_PYTHON:-$root/.venv/bin/python}
tests=(headrace_{device,kernels}_cuda_test headrace_op_conformance_test)
mkdir -p build/logs

quietly() { "$@" >build/logs/gpu-pack.log 2>&1 || { tail -n 40 build/logs/gpu-pack.log >&2; exit 1; }; }

# nanobind and cuDNN's C++ headers are sources alone, so any interpreter can take those of .venv.
PYTHONPATH=$(echo "$root"/.venv/lib/python3*/site-packages)
export PYTHONPATH
quietly cmake --preset gpu -DPython_EXECUTABLE="$python" -Dcudnn_frontend_INCLUDE_DIR="$PYTHONPATH/include"
quietly cmake --build "$build" -j "$(nproc)" --target headrace_cli headrace_python headrace_cuda headrace_cuda_build \
  headrace_call_overhead "${tests[@]}"
unset PYTHONPATH

rm -rf "$pack"
mkdir -p "$pack"/{bin,lib,python}
cp "$build"/bin/{headrace,call_overhead} "${tests[@]/#/$build/bin/}" "$pack/bin/"
cp -P "$build"/lib/libheadrace*.so* "$pack/lib/"
cp -rL "$build/python/headrace" "$pack/python/"
# What Debian gives and another system may not have; never the C library, the driver or CUDA's own libraries.
ldd "$pack"/bin/* "$pack"/lib/*.so "$pack"/python/headrace/_core*.so 2>/dev/null | awk '$2 == "=>" && $3 ~ /^\// {print $3}' | sort -u |
  grep -vE '/(libc|libm|libdl|librt|libpthread|libgcc_s|libstdc\+\+|ld-linux.*|libcuda|libcublas.*|libcudnn.*|libnvrtc.*|libgomp|libheadrace.*)\.so' |
  xargs -r cp -L -t "$pack/lib"
find "$pack" -type f \( -name '*.so*' -o -path '*/bin/*' \) -exec strip --strip-unneeded {} + 2>/dev/null || true
du -sh "$pack"
