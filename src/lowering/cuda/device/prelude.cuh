// What the other parts are written in. HEADRACE_ON_HOST: a test runs them on the host, and brings its own.
#ifndef HEADRACE_ON_HOST
#define DEVICE __device__ __forceinline__
#define SHARED __shared__
#define SYNC() __syncthreads()
#define SYNC_WARP() __syncwarp()
#define SHUFFLE(value, lane) __shfl_sync(0xffffffffu, value, lane)
#define SHUFFLE_UP(value, by) __shfl_up_sync(0xffffffffu, value, by)
#define SHUFFLE_XOR(value, lanes) __shfl_xor_sync(0xffffffffu, value, lanes)
#endif
using namespace headrace::cuda;
