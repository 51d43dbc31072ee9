// What the kernels of the index family share.
#pragma once

#include <string>

#include "kernels/cpu/loop_nest.h"
#include "kernels/cpu/step_kernel.h"

namespace headrace::cpu {

// An index tensor, i32 or i64, broadcast to `shape` and read in row-major order; negatives count from the
// end.
class IndexReader {
 public:
  // `limit`: the size of the dimension that is indexed.
  static Result<IndexReader> make(const StepShapes& step, const StepTensor& indices, const Sizes& shape,
                                  int64_t limit);
  // Adds index * stride to each of `offsets`. Errors: kInvalidArgument for an index out of range, named.
  Status add_offsets(const Addresses& at, int64_t stride, int64_t* offsets) const;
  Status out_of_range(int64_t index) const;

 private:
  LoopNest nest_;
  StepTensor indices_;
  int64_t limit_ = 0;
  std::string label_;
  bool empty_ = false;
};

Result<std::unique_ptr<StepKernel>> make_row_gather(const StepShapes& step);
Result<std::unique_ptr<StepKernel>> make_gather_elements(const StepShapes& step);

}  // namespace headrace::cpu
