// StepWriter: adds steps that run generated kernels to a plan: tensors, launch attributes, and the source.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lowering/cuda/kernel_sources.h"
#include "lowering/plan_builder.h"

namespace headrace::cuda {

// A type of the device library: "f16", "i64", "b8".
std::string_view type_name(DType dtype);
// The type of as many bytes, for elements that only move.
std::string_view raw_type_name(DType dtype);
// The type that it is computed in: "float", "i32".
std::string_view compute_name(DType dtype);
// `value` as an expression of that type, exact.
std::string constant_text(DType dtype, double value);
// "template-free" code of a struct with a static function `name(d)` for each list.
std::string constants_struct(std::string_view name, const std::vector<std::pair<std::string, Sizes>>& lists);

// How many threads share a row, and what of it they keep in registers.
struct RowTeam {
  std::string type;  // "WarpTeam<4>"
  Sizes threads;     // x, y
  int64_t size = 32;
  int64_t rows_per_block = 1;
  int64_t block() const { return threads[0] * threads[1]; }
};

// What kernels are for.
struct Target {
  int sm = 0;                   // 90
  bool libraries = true;        // cuBLASLt and cuDNN are there; without them all kernels are ours
  bool tf32 = false;            // f32 products may round their operands to it
  int64_t fold_from = 100'000;  // cells of a result, from which on folded_conv.h is for it
  int64_t tile_from = 65'536;   // tiles of a pool's results, from which on a thread makes one
  int64_t boxes_from = 64;      // blocks of attention in boxes, from which on that is faster
};

class StepWriter {
 public:
  StepWriter(PlanBuilder& builder, KernelSources& sources, Target target);

  PlanBuilder& builder() { return builder_; }
  const Target& target() const { return target_; }
  const DimBindings& opt() const { return opt_; }
  // A size at the profile's opt, or most; at least 0. nullopt where it cannot be said.
  std::optional<int64_t> at_opt(const Dim& dim) const;
  std::optional<int64_t> at_most(const Dim& dim) const;

  // "unsigned" where all offsets in these tensors fit, whatever the shapes of the profile; else the 64-bit
  // one.
  std::string index_type(const std::vector<TensorIndex>& tensors) const;
  // Elements of a vector over tensors of these dtypes; 1: no vectors.
  static int64_t vector_width(const std::vector<DType>& dtypes);
  std::vector<DType> dtypes(const std::vector<TensorIndex>& tensors) const;

  // For rows of `columns`. `neighbours_are_rows`: memory's neighbours belong to different rows.
  RowTeam row_team(const Dim& rows, const Dim& columns, bool neighbours_are_rows) const;

  // For rows of at most so many neighbouring columns, of which threads keep runs of `width` in registers.
  RowTeam kept_row_team(const Dim& rows, int64_t columns, int64_t width) const;

  struct Step {
    KernelText text;  // its `tensors` is set by add()
    std::string_view rule;
    std::vector<TensorIndex> inputs, outputs;
    AttributeMap attributes;  // beside function, rule and index type
  };
  // In the text, "%" stands for the index type.
  void add(const ir::Node& node, Step step);
  // The attributes that such a step would have, with its kernel's source written: for a step of another
  // kernel.
  AttributeMap describe(Step step);

  // Fills in which binary each function is in.
  void set_modules(Plan& plan) const;

 private:
  bool fits_in_32_bits(TensorIndex tensor, const DimBindings& dims) const;

  PlanBuilder& builder_;
  KernelSources& sources_;
  Target target_;
  DimBindings opt_, most_, least_;
};

}  // namespace headrace::cuda
