# Sourced by the scripts that run a pack (tools/gpu_pack.sh): where its programs and the machine's CUDA libraries are.
# REQUIRES: root and pack are set.
cuda_folders() {
  python3 - <<'PY'
import glob, sys, sysconfig
folders = glob.glob("/usr/local/cuda*/lib64") + glob.glob("/usr/local/cuda*/lib")
folders = [f for path in {sysconfig.get_paths()["purelib"], *sys.path} for f in glob.glob(f"{path}/nvidia/*/lib")] + folders
print(":".join(f for f in folders if glob.glob(f"{f}/lib*.so*")))
PY
}
LD_LIBRARY_PATH=$pack/lib:$(cuda_folders)${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export LD_LIBRARY_PATH PYTHONPATH=$pack/python:$root/tests/models${PYTHONPATH:+:$PYTHONPATH}
export HEADRACE_SOURCE_DIR=$root HF_HUB_OFFLINE=1 PYTHONUNBUFFERED=1
