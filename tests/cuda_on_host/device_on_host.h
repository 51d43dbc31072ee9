// What the device library (src/lowering/cuda/device) is written in, for a host: included before the source of
// generated kernels, which the C++ compiler then takes. Threads of a block are fibers of block_runner.cpp.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "core/half.h"

struct HostDim {
  unsigned x, y, z;
};
extern HostDim threadIdx, blockIdx, gridDim, blockDim;

// In block_runner.cpp. Every thread of the block, or of the warp, must come here before one goes on.
void meet_block();
void meet_warp();
int lane_of_thread();
// Every thread of the warp gives `size` bytes; then those of each can be read, until the warp meets again.
void give_to_warp(const void* value, size_t size);
const void* given_by(int lane);

#define HEADRACE_ON_HOST
#define DEVICE inline
#define SHARED static
#define DYNAMIC_SHARED(T, name) static T name[(228 << 10) / sizeof(T)]
#define SYNC() meet_block()
#define SYNC_WARP() meet_warp()
#define SHUFFLE(value, lane) shuffled(value, lane)
#define SHUFFLE_UP(value, by) \
  shuffled(value, lane_of_thread() < (by) ? lane_of_thread() : lane_of_thread() - (by))
#define SHUFFLE_XOR(value, lanes) shuffled(value, lane_of_thread() ^ (lanes))
#define BALLOT(flag) flags_of_warp(flag)
#define __global__
#define __grid_constant__
#define __launch_bounds__(threads)
#define __host__
#define __device__

// What each thread of the warp has given, for as long as it lives; all of them make and end theirs together.
template <class A>
class InWarp {
 public:
  explicit InWarp(const A& mine) { give_to_warp(&mine, sizeof(A)); }
  ~InWarp() { meet_warp(); }
  InWarp(const InWarp&) = delete;
  InWarp& operator=(const InWarp&) = delete;
  const A& of(int lane) const { return *static_cast<const A*>(given_by(lane)); }
};

template <class A>
A shuffled(A value, int lane) {
  return InWarp<A>(value).of(lane);
}

inline unsigned flags_of_warp(bool flag) {
  const InWarp<bool> all(flag);
  unsigned flags = 0;
  for (int lane = 0; lane < 32; ++lane) flags |= static_cast<unsigned>(all.of(lane)) << lane;
  return flags;
}

inline float host_f16_to_float(unsigned short bits) { return headrace::f16_to_float(bits); }
inline unsigned short host_float_to_f16(float x) { return headrace::float_to_f16(x); }
inline unsigned short host_float_to_bf16(float x) { return headrace::float_to_bf16(x); }

// --- The instructions of tensor_cores.cuh, by what their fragments mean.
struct f16;
struct bf16;
template <class T>
float half_of(unsigned pair, int which);
template <>
inline float half_of<f16>(unsigned pair, int which) {
  return headrace::f16_to_float(static_cast<uint16_t>(which ? pair >> 16 : pair));
}
template <>
inline float half_of<bf16>(unsigned pair, int which) {
  return headrace::bf16_to_float(static_cast<uint16_t>(which ? pair >> 16 : pair));
}

struct Fragments {
  unsigned a[4], b[2];
};

template <class T>
void host_multiply_add(float (&sum)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
  const int g = lane_of_thread() >> 2, t = lane_of_thread() & 3;
  const InWarp<Fragments> all({{a[0], a[1], a[2], a[3]}, {b0, b1}});
  for (int r = 0; r < 2; ++r)
    for (int c = 0; c < 2; ++c) {
      float product = 0;
      for (int k = 0; k < 16; ++k) {
        const int further = k / 8, pair = k % 8 / 2, which = k % 2;
        product += half_of<T>(all.of(4 * g + pair).a[r + 2 * further], which) *
                   half_of<T>(all.of(4 * (2 * t + c) + pair).b[further], which);
      }
      sum[2 * r + c] += product;
    }
}

template <bool transposed, class Matrices>
Matrices host_load_matrices(const void* row) {
  const int g = lane_of_thread() >> 2, t = lane_of_thread() & 3;
  if (reinterpret_cast<uintptr_t>(row) % 16 != 0) std::abort();  // as the device would
  const InWarp<const unsigned short*> rows(static_cast<const unsigned short*>(row));
  Matrices m;
  for (int i = 0; i < 4; ++i) {
    if (transposed) {
      const auto *low = rows.of(8 * i + 2 * t), *high = rows.of(8 * i + 2 * t + 1);
      m.parts[i] = low[g] | static_cast<unsigned>(high[g]) << 16;
    } else {
      const auto* const pair = rows.of(8 * i + g) + 2 * t;
      m.parts[i] = pair[0] | static_cast<unsigned>(pair[1]) << 16;
    }
  }
  return m;
}
