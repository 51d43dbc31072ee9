// LoopNest: one loop over several strided tensors of one shape; and parallel loops.
#pragma once

#include <omp.h>

#include <algorithm>
#include <span>
#include <vector>

#include "core/shape.h"

namespace headrace::cpu {

// Dims of size 1 are left out, the others are sorted so that the first tensor's strides fall, and neighbours
// are merged where every tensor allows it. There is always at least one dim.
struct LoopNest {
  Sizes sizes;                 // outermost first
  std::vector<Sizes> strides;  // [tensor][dim], in elements

  size_t rank() const { return sizes.size(); }
  int64_t inner() const { return sizes.back(); }
  // The number of times that the innermost `dims` dims are run.
  int64_t outer(size_t dims = 1) const;
  // Where tensor `t` is in run `index` of the innermost `dims` dims, in elements.
  int64_t offset(size_t t, int64_t index, size_t dims = 1) const {
    int64_t at = 0;
    for (size_t d = sizes.size() - dims; d-- > 0;) {
      at += index % sizes[d] * strides[t][d];
      index /= sizes[d];
    }
    return at;
  }
};

// A walk through the runs of a nest's innermost `dims` dims, from run `index` on: where the first N tensors
// are.
template <size_t N>
class NestWalk {
 public:
  NestWalk(const LoopNest& nest, int64_t index, size_t dims) : nest_(nest), index_(index), dims_(dims) {
    seek();
  }
  int64_t operator[](size_t t) const { return at_[t]; }
  void next() {
    ++index_;
    if (--left_ <= 0) return seek();
    for (size_t t = 0; t < N; ++t) at_[t] += nest_.strides[t][nest_.rank() - dims_ - 1];
  }

 private:
  void seek() {
    for (size_t t = 0; t < N; ++t) at_[t] = nest_.offset(t, index_, dims_);
    left_ = 0;
    if (nest_.rank() <= dims_) return;
    const int64_t size = nest_.sizes[nest_.rank() - dims_ - 1];
    left_ = size - index_ % size;
  }
  const LoopNest& nest_;
  int64_t index_;
  size_t dims_;
  int64_t at_[N] = {};
  int64_t left_ = 0;  // runs before the next dim out turns
};

// Each of `strides` has the rank of `shape`.
LoopNest make_nest(const Sizes& shape, std::span<const Sizes> strides);

// How many of `threads` are worth starting for work of about `ns` nanoseconds.
inline int worthwhile_threads(int threads, double ns) {
  constexpr double kLeastNsAThread = 12'000;  // a few times what waking the team costs
  return std::max(1, static_cast<int>(std::min<double>(threads, ns / kLeastNsAThread)));
}

// Calls body(thread, begin, end) for ranges that cover [0, count), with thread < threads.
template <class Body>
void parallel_ranges(int threads, int64_t count, const Body& body) {
  if (threads <= 1 || count <= 1) {
    if (count > 0) body(0, int64_t{0}, count);
    return;
  }
#pragma omp parallel num_threads(threads)
  {
    const int64_t team = omp_get_num_threads();
    const int64_t thread = omp_get_thread_num();
    const int64_t begin = count * thread / team;
    const int64_t end = count * (thread + 1) / team;
    if (begin < end) body(static_cast<int>(thread), begin, end);
  }
}

}  // namespace headrace::cpu
