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
// The other threads go on, and then this one.
void let_others_go_on();
// This thread did what others may wait for.
void note_progress();

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
#define __launch_bounds__(threads, blocks)
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

// --- Barriers, copies of boxes and products of groups (boxes.cuh), which are done when they are asked for.
struct HostBarrier {
  uint16_t arrivals, missing;  // in a turn; still in this one
  int32_t bytes : 31;          // expected, still in this turn
  uint32_t parity : 1;         // of this turn
};
static_assert(sizeof(HostBarrier) == 8);

inline void host_settle(HostBarrier& barrier) {
  if (barrier.missing > 0 || barrier.bytes != 0) return;
  barrier.missing = barrier.arrivals;
  barrier.parity ^= 1;
  note_progress();
}
inline void host_init_barrier(unsigned long long* at, unsigned arrivals) {
  *reinterpret_cast<HostBarrier*>(at) = {static_cast<uint16_t>(arrivals), static_cast<uint16_t>(arrivals), 0,
                                         0};
}
inline void host_arrive(unsigned long long* at, unsigned bytes) {
  auto& barrier = *reinterpret_cast<HostBarrier*>(at);
  if (barrier.missing-- == 0) std::abort();
  barrier.bytes += static_cast<int>(bytes);
  host_settle(barrier);
}
// Until the turn of that parity is over.
inline void host_wait_barrier(const unsigned long long* at, unsigned parity) {
  while (reinterpret_cast<const volatile HostBarrier*>(at)->parity == parity) let_others_go_on();
}

// What a TensorMap is on the host.
struct HostMap {
  const char* data;
  int64_t sizes[5], strides[5];  // strides in bytes
  uint16_t box[5];
  uint16_t rank;
};
static_assert(sizeof(HostMap) <= 128);

struct HostPoint {
  int64_t at[5];
};

// Where `bytes` from a box's beginning really lies: runs of 16 bytes change places.
template <int pitch = 128>
char* host_in_box(char* at) {
  const auto address = reinterpret_cast<uintptr_t>(at);
  return reinterpret_cast<char*>(address ^ (address >> 7 & (pitch / 16 - 1)) << 4);
}

inline void host_copy_box(char* to, const void* map_at, unsigned long long* barrier_at, HostPoint begin) {
  const auto& map = *static_cast<const HostMap*>(map_at);
  if (reinterpret_cast<uintptr_t>(to) % 1024 != 0) std::abort();
  constexpr int64_t kElement = 2;
  int64_t count = 1;
  for (int d = 0; d < map.rank; ++d) count *= map.box[d];
  for (int64_t i = 0; i < count; ++i) {
    int64_t rest = i, from = 0;
    bool inside = true;
    for (int d = 0; d < map.rank; ++d) {
      const int64_t place = begin.at[d] + rest % map.box[d];
      rest /= map.box[d];
      inside = inside && place >= 0 && place < map.sizes[d];
      from += place * map.strides[d];
    }
    char* const there = host_in_box(to + i * kElement);
    for (int64_t b = 0; b < kElement; ++b) there[b] = inside ? map.data[from + b] : 0;
  }
  auto& barrier = *reinterpret_cast<HostBarrier*>(barrier_at);
  barrier.bytes -= static_cast<int>(count * kElement);
  host_settle(barrier);
}

// An element of a box.
template <class T>
float host_element(const char* at) {
  return half_of<T>(*reinterpret_cast<const unsigned short*>(at), 0);
}
template <>
inline float host_element<float>(const char* at) {
  return *reinterpret_cast<const float*>(at);
}

template <class T, int n, int pitch>
void host_multiply_boxes(float (&sum)[n / 2], char* a, char* b, bool add) {
  const int lane = lane_of_thread(), warp = static_cast<int>(threadIdx.x / 32 % 4);
  constexpr int kElement = sizeof(T);
  for (int i = 0; i < n / 2; ++i) {
    const int row = warp * 16 + (lane >> 2) + i / 2 % 2 * 8, column = i / 4 * 8 + (lane & 3) * 2 + i % 2;
    float product = 0;
    for (int k = 0; k < 32; k += kElement)
      product += host_element<T>(host_in_box<pitch>(a + row * pitch + k)) *
                 host_element<T>(host_in_box<128>(b + column * 128 + k));
    sum[i] = product + (add ? sum[i] : 0);
  }
}

template <class T>
void host_add_turned(float (&sum)[32], const unsigned (&a)[4], char* b) {
  const int lane = lane_of_thread(), g = lane >> 2, t = lane & 3;
  const InWarp<Fragments> all({{a[0], a[1], a[2], a[3]}, {}});
  for (int i = 0; i < 32; ++i) {
    const int further = i / 2 % 2, column = i / 4 * 8 + 2 * t + i % 2;
    float product = 0;
    for (int k = 0; k < 16; ++k) {
      const unsigned pair = all.of(4 * g + k % 8 / 2).a[further + k / 8 * 2];
      const auto bits = *reinterpret_cast<const unsigned short*>(host_in_box(b + k * 128 + column * 2));
      product += half_of<T>(pair, k % 2) * half_of<T>(bits, 0);
    }
    sum[i] += product;
  }
}
