// What the other parts are written in. HEADRACE_ON_HOST: a test runs them on the host, and brings its own.
#ifndef HEADRACE_ON_HOST
#define DEVICE __device__ __forceinline__
#define SHARED __shared__
#define DYNAMIC_SHARED(T, name) extern __shared__ T name[]  // as much as the launch says
#define SYNC() __syncthreads()
#define SYNC_WARP() __syncwarp()
#define SHUFFLE(value, lane) __shfl_sync(0xffffffffu, value, lane)
#define SHUFFLE_UP(value, by) __shfl_up_sync(0xffffffffu, value, by)
#define SHUFFLE_XOR(value, lanes) __shfl_xor_sync(0xffffffffu, value, lanes)
#define BALLOT(flag) __ballot_sync(0xffffffffu, flag)  // bit i: lane i's
#endif
// From sm_90 on a kernel is launched while the one ahead of it runs: its blocks come as soon as those of that one all
// have said allow_next(). What others wrote is there after wait_for_previous(): every kernel calls it, so that one that
// ends has all before it ended, too.
#if !defined(HEADRACE_ON_HOST) && __CUDA_ARCH__ >= 900
DEVICE void allow_next() { asm volatile("griddepcontrol.launch_dependents;"); }
DEVICE void wait_for_previous() { asm volatile("griddepcontrol.wait;" ::: "memory"); }
#else
DEVICE void allow_next() {}
DEVICE void wait_for_previous() {}
#endif
using namespace headrace::cuda;
