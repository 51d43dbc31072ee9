// StepKernel: one step of a cpu plan, made for one set of shapes.
//
// Each family of kernels (products.cpp, pointwise.cpp, …) gives a table of rows; kernels.cpp joins them. A
// step's `kernel` names its row. The lowering (lowering/cpu) writes only steps that these rows take.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <headrace/status.h>
#include "core/attributes.h"
#include "core/shape.h"
#include "engine/plan.h"
#include "kernels/kernels.h"
#include "kernels/step_form.h"

namespace headrace::cpu {

// What the kernels of one plan share, by a key that says all of it: primitives that are compiled once.
class SharedParts {
 public:
  template <class T>
  std::shared_ptr<const T> find(const std::string& key) const {
    const auto found = parts_.find(key);
    return found == parts_.end() ? nullptr : std::static_pointer_cast<const T>(found->second);
  }
  void add(const std::string& key, std::shared_ptr<const void> part) { parts_[key] = std::move(part); }

 private:
  std::map<std::string, std::shared_ptr<const void>> parts_;
};

// All that a kernel is made from.
struct StepShapes : StepForm {
  DimBindings opt;  // the profile's opt: what packed layouts were chosen for
  int threads = 1;
  SharedParts* shared = nullptr;  // nullptr: nothing is shared
};

// Threads: run is const; calls with different addresses may overlap. Parallel loops run on OpenMP's team, of
// at most StepShapes::threads threads.
class StepKernel {
 public:
  virtual ~StepKernel() = default;
  virtual Bytes workspace() const { return {}; }  // scratch that run() needs at Addresses::workspace
  virtual Status run(const Addresses& at) const = 0;
};

struct KernelRow {
  std::string_view name;
  // Errors: kCorrupt where the step is malformed (wrong counts, dtypes, attributes): plans come from files.
  Result<std::unique_ptr<StepKernel>> (*make)(const StepShapes& shapes);
};

// One function a family.
std::span<const KernelRow> product_kernels();     // matmul, conv (oneDNN)
std::span<const KernelRow> pool_kernels();        // max_pool, avg_pool, adaptive_avg_pool
std::span<const KernelRow> batch_norm_kernels();  // batch_norm
std::span<const KernelRow> attention_kernels();   // attention
std::span<const KernelRow> pointwise_kernels();   // pointwise
std::span<const KernelRow> norm_kernels();        // layer_norm, rms_norm, group_norm, softmax, rotary
std::span<const KernelRow> reduce_kernels();      // reduce, arg_reduce, cumsum
std::span<const KernelRow>
move_kernels();  // copy (any strides to any strides, same dtype), pad, iota, fill, dim_value
std::span<const KernelRow> index_kernels();  // gather (also of kRows weights), gather_elements, index

}  // namespace headrace::cpu
