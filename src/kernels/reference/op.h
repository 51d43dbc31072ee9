// Op: one reference kernel: its name, how many operands it takes, and the loops.
#pragma once

#include <span>
#include <string_view>

#include <fmt/format.h>

#include <headrace/status.h>
#include "core/attributes.h"
#include "core/error.h"
#include "core/pointwise.h"
#include "kernels/kernels.h"
#include "kernels/reference/view.h"

namespace headrace::reference {

// One run of an op. Shapes and attributes may come from a file: a kernel checks all that it relies on.
struct Call {
  std::string_view kernel;
  std::string_view label;          // for messages
  const AttributeMap& attributes;  // Dims are constants
  std::span<const View* const> inputs;
  std::span<const View> outputs;
  RowSource* rows = nullptr;  // the first input's rows, where it has no data
  Scratch& scratch;

  const View* input(size_t index) const { return index < inputs.size() ? inputs[index] : nullptr; }
  // The numbers of an input. Errors: kCorrupt where it is absent.
  Result<Array> load(size_t index) const;
  Result<Array> load_float(size_t index) const;
  // Writes `result` to an output. Errors: kCorrupt where the output's shape or kind of dtype is another.
  Status store(const Array& result, size_t output = 0) const;
  Status copy(const View& from, size_t output = 0) const;  // the same, of elements as they are
  // A constant Dim; nullopt where absent.
  std::optional<int64_t> dim(std::string_view name) const;
  Result<Sizes> dims(std::string_view name) const;
  // An axis below `rank`.
  Result<size_t> axis(std::string_view name, int64_t rank, int64_t fallback = 0) const;
  // kCorrupt "<label>: <kernel>: <rule>" unless `holds`.
  Status expect(bool holds, std::string_view rule) const;
};

struct Op {
  std::string_view name;
  int min_inputs;
  int max_inputs;   // -1: any number
  int max_outputs;  // -1: any number; at least one
  Status (*run)(const Call& call);
};

const Op* find_op(std::string_view name);  // nullptr where there is none

// Bytes of scratch that an op may take for these operands.
Bytes scratch_need(std::span<const View* const> inputs, std::span<const View> outputs);

// The families.
std::span<const Op> pointwise_ops();
std::span<const Op> matmul_ops();
std::span<const Op> conv_ops();
std::span<const Op> norm_ops();
std::span<const Op> attention_ops();
std::span<const Op> reduce_ops();
std::span<const Op> pool_ops();
std::span<const Op> layout_ops();
std::span<const Op> gather_ops();
std::span<const Op> create_ops();

// Registers of `count` numbers each: one instruction of a pointwise program.
struct Operand {
  DType dtype;
  const double* floats;
  const int64_t* integers;
};
// Writes `count` results. False where an integer is divided by 0.
bool apply(Pointwise function, DType dtype, std::span<const Operand> operands, int64_t count, double* floats,
           int64_t* integers);

// The unary function named by attribute `epilogue`, applied in place; nothing where it is "".
Status apply_epilogue(const Call& call, const Array& array);
// Adds an input that broadcasts to `array`, if it is there.
Status add_operand(const Call& call, size_t index, const Array& array);

}  // namespace headrace::reference
