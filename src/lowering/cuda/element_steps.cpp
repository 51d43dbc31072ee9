#include "lowering/cuda/element_steps.h"

#include <algorithm>

#include <fmt/format.h>

#include "core/error.h"
#include "kernels/cuda/generated_step.h"
#include "lowering/cuda/element_text.h"
#include "lowering/cuda/pointwise_source.h"
#include "lowering/pointwise_program.h"

namespace headrace::cuda {

namespace {

// A literal that is one number, which the kernel then holds itself.
std::optional<double> baked(const ir::Value& value) {
  const std::optional<double> number = ir::literal_scalar(value);
  constexpr double kExactIntegers = 9007199254740992.0;
  if (!number || is_float(value.dtype())) return number;
  return *number > -kExactIntegers && *number < kExactIntegers ? number : std::nullopt;
}

Dim half(const Dim& dim) { return Dim::floor_div(dim, 2); }

// The first or second half of the last dimension, or every other element of it; `tensor` itself where it
// broadcasts along it.
TensorIndex half_view(PlanBuilder& builder, TensorIndex tensor, const Dim& whole, int which,
                      bool interleaved) {
  const Shape& shape = builder.at(tensor).shape;
  if (shape.empty() || !(shape.back() == whole)) return tensor;
  const auto axis = static_cast<int64_t>(shape.size()) - 1;
  if (interleaved) return builder.slice_view(tensor, axis, which, half(whole), 2);
  return builder.slice_view(tensor, axis, which == 0 ? Dim(0) : half(whole), half(whole));
}

// A vector [C] as an operand of tensors whose dimension `axis` is C.
TensorIndex along_axis(PlanBuilder& builder, TensorIndex vector, int64_t axis, size_t rank) {
  if (vector == kNone) return kNone;
  const PlanTensor from = builder.at(vector);
  Shape shape(rank, Dim(1)), strides(rank, Dim(0));
  shape[static_cast<size_t>(axis)] = from.shape[0];
  strides[static_cast<size_t>(axis)] = from.strides[0];
  return builder.add_view(vector, std::move(shape), std::move(strides), from.offset);
}

// `tensor` read by `front` dimensions of one element, its own, and `back` more.
TensorIndex framed(PlanBuilder& builder, TensorIndex tensor, size_t front, size_t back) {
  const PlanTensor from = builder.at(tensor);
  Shape shape(front, Dim(1)), strides(front, Dim(0));
  shape.insert(shape.end(), from.shape.begin(), from.shape.end());
  strides.insert(strides.end(), from.strides.begin(), from.strides.end());
  shape.insert(shape.end(), back, Dim(1));
  strides.insert(strides.end(), back, Dim(0));
  return builder.add_view(tensor, std::move(shape), std::move(strides), from.offset);
}

// Elements of `x` at the place that the operands after it say: each is an index of a dimension of x whose
// size and stride are two numbers.
void write_indirect(StepWriter& writer, const ir::Node& node, std::vector<TensorIndex> inputs,
                    TensorIndex output, std::vector<Dim> numbers) {
  PlanBuilder& builder = writer.builder();
  const DType dtype = builder.at(output).dtype;
  const int64_t width = StepWriter::vector_width({dtype});
  const size_t count = inputs.size() + 1;
  std::string text = "i64 from = at[0];\nbool inside = true;\n";
  Sizes uniform, aligned;
  for (size_t i = 1; i < inputs.size(); ++i) {
    text += fmt::format(
        "{{\n  i64 index = widen(input<{}>(args.tensors[{}])[at[{}]]);\n"
        "  inside &= resolve(index, args.head.numbers[{}]);\n  from += index * args.head.numbers[{}];\n}}\n",
        type_name(builder.at(inputs[i]).dtype), i, i, 2 * (i - 1), 2 * (i - 1) + 1);
    uniform.push_back(static_cast<int64_t>(i));
    aligned.push_back(static_cast<int64_t>(2 * (i - 1) + 1));
  }
  const std::string_view type = raw_type_name(dtype);
  text += fmt::format(
      "{0} x[V];\nif (inside) {{\n  load_raw<{0}, V>(x, args.tensors[0], from, args.head.dense & 1u);\n}} "
      "else {{\n"
      "  for (int i = 0; i < V; ++i) x[i] = {0}(0);\n}}\nstore_raw<{0}, V>(args.tensors[{1}], at[{1}], x);\n",
      type, count - 1);
  StepWriter::Step step;
  step.text = element_kernel("gather", text, width);
  step.rule = kElementsRule;
  step.inputs = std::move(inputs);
  step.outputs = {output};
  step.attributes = {{std::string(kWidth), width},
                     {std::string(kNumbers), std::move(numbers)},
                     {std::string(kUniform), std::move(uniform)},
                     {std::string(kAligned), std::move(aligned)}};
  writer.add(node, std::move(step));
}

void set_number(StepWriter::Step& step, std::vector<Dim> numbers) {
  step.attributes.set(kNumbers, std::move(numbers));
}

// The operands of gather and gather_elements; `from` is what x is.
struct Gathered {
  TensorIndex x, indices, to;
  size_t axis;
  PlanTensor from;
};
Result<Gathered> gathered_of(PlanBuilder& builder, const ir::Node& node) {
  HR_ASSIGN(const TensorIndex x, builder.tensor(node.input(0)));
  HR_ASSIGN(const TensorIndex indices, builder.tensor(node.input(1)));
  HR_ASSIGN(const TensorIndex to, builder.tensor(node.output()));
  return Gathered{x, indices, to, static_cast<size_t>(node.attributes().integer("axis")), builder.at(x)};
}

}  // namespace

Status write_pointwise(StepWriter& writer, const ir::Node& node) {
  PlanBuilder& builder = writer.builder();
  HR_ASSIGN(const PointwiseProgram program, program_of(node));
  ElementText text;
  StepWriter::Step step;
  for (size_t i = 0; i < node.inputs().size(); ++i) {
    const ir::Value& value = *node.input(i);
    if (const std::optional<double> number = baked(value)) {
      text.add_constant(static_cast<int>(i), value.dtype(), *number);
      continue;
    }
    HR_ASSIGN(const TensorIndex tensor, builder.tensor(&value));
    text.add_input(static_cast<int>(i), value.dtype());
    step.inputs.push_back(tensor);
  }
  text.add_statements(instructions_text(program));
  for (size_t i = 0; i < program.results.size(); ++i) {
    HR_ASSIGN(const TensorIndex tensor, builder.tensor(node.output(i)));
    text.add_output(program.results[i], program.dtype(program.results[i]));
    step.outputs.push_back(tensor);
  }
  step.text = text.kernel(node.op()->pointwise ? std::string(node.op()->name) : "pointwise");
  step.rule = kElementsRule;
  step.attributes = {{std::string(kWidth), text.width()}};
  writer.add(node, std::move(step));
  return {};
}

Status write_batch_norm(StepWriter& writer, const ir::Node& node) {
  PlanBuilder& builder = writer.builder();
  const ir::Value& x = *node.input(0);
  const DType dtype = x.dtype();
  const int64_t axis = node.attributes().integer("axis", 1);
  ElementText text;
  StepWriter::Step step;
  HR_ASSIGN(const TensorIndex from, builder.tensor(&x));
  step.inputs.push_back(from);
  text.add_input(0, dtype);
  for (int i = 1; i < 5; ++i) {
    HR_ASSIGN(const TensorIndex vector, builder.tensor(node.input(static_cast<size_t>(i))));
    if (vector == kNone) continue;
    step.inputs.push_back(along_axis(builder, vector, axis, x.shape().size()));
    text.add_input(i, builder.at(vector).dtype);
  }
  std::string value =
      fmt::format("(r0 - r3) / fn_sqrt(r4 + {})", constant_text(dtype, node.attributes().number("eps")));
  if (node.input(1)) value += " * r1";
  if (node.input(2)) value += " + r2";
  text.add_statements(fmt::format("const {} r5 = {};\n", compute_name(dtype), value));
  HR_ASSIGN(const TensorIndex to, builder.tensor(node.output()));
  text.add_output(5, dtype);
  step.outputs = {to};
  step.text = text.kernel("batch_norm");
  step.rule = kElementsRule;
  step.attributes = {{std::string(kWidth), text.width()}};
  writer.add(node, std::move(step));
  return {};
}

Status write_rotary(StepWriter& writer, const ir::Node& node) {
  PlanBuilder& builder = writer.builder();
  const DType dtype = node.input(0)->dtype();
  const Dim whole = node.input(0)->shape().back();
  const bool interleaved = node.attributes().flag("interleaved");
  ElementText text;
  StepWriter::Step step;
  for (int i = 0; i < 3; ++i) {
    HR_ASSIGN(const TensorIndex tensor, builder.tensor(node.input(static_cast<size_t>(i))));
    for (int which = 0; which < 2; ++which) {
      step.inputs.push_back(half_view(builder, tensor, whole, which, interleaved));
      text.add_input(2 * i + which, builder.at(tensor).dtype);
    }
  }
  text.add_statements(fmt::format("const {0} r6 = r0 * r2 - r1 * r4;\nconst {0} r7 = r1 * r3 + r0 * r5;\n",
                                  compute_name(dtype)));
  HR_ASSIGN(const TensorIndex to, builder.tensor(node.output()));
  for (int which = 0; which < 2; ++which) {
    step.outputs.push_back(half_view(builder, to, whole, which, interleaved));
    text.add_output(6 + which, dtype);
  }
  step.text = text.kernel("rotary");
  step.rule = kElementsRule;
  step.attributes = {{std::string(kWidth), text.width()}};
  writer.add(node, std::move(step));
  return {};
}

Status write_fill(StepWriter& writer, const ir::Node& node) {
  const DType dtype = node.output()->dtype();
  HR_ASSIGN(const TensorIndex to, writer.builder().tensor(node.output()));
  ElementText text;
  StepWriter::Step step;
  if (node.is("fill")) {
    text.add_constant(0, dtype, node.attributes().number("value"));
  } else if (node.is("dim_value")) {
    text.add_statements("const i64 r0 = args.head.numbers[0];\n");
    set_number(step, {node.attributes().get<Dim>("value", 0)});
  } else {
    text.add_statements(
        "const i64 r0 = args.head.numbers[0] + static_cast<i64>(index + i) * args.head.numbers[1];\n");
    set_number(step, {node.attributes().get<Dim>("start", 0), Dim(node.attributes().integer("step", 1))});
  }
  text.add_output(0, dtype);
  step.outputs = {to};
  step.text = text.kernel(std::string(node.op()->name));
  step.rule = kElementsRule;
  step.attributes.set(kWidth, text.width());
  writer.add(node, std::move(step));
  return {};
}

Status write_gather(StepWriter& writer, const ir::Node& node) {
  PlanBuilder& builder = writer.builder();
  HR_ASSIGN(const Gathered gathered, gathered_of(builder, node));
  const auto& [x, indices, to, axis, from] = gathered;
  const size_t index_rank = builder.at(indices).shape.size(), back = from.shape.size() - axis - 1;
  Shape shape(from.shape.begin(), from.shape.begin() + static_cast<ptrdiff_t>(axis));
  Shape strides(from.strides.begin(), from.strides.begin() + static_cast<ptrdiff_t>(axis));
  shape.insert(shape.end(), index_rank, Dim(1));
  strides.insert(strides.end(), index_rank, Dim(0));
  shape.insert(shape.end(), from.shape.end() - static_cast<ptrdiff_t>(back), from.shape.end());
  strides.insert(strides.end(), from.strides.end() - static_cast<ptrdiff_t>(back), from.strides.end());
  const TensorIndex base = builder.add_view(x, std::move(shape), std::move(strides), from.offset);
  write_indirect(writer, node, {base, framed(builder, indices, axis, back)}, to,
                 {from.shape[axis], from.strides[axis]});
  return {};
}

Status write_gather_elements(StepWriter& writer, const ir::Node& node) {
  PlanBuilder& builder = writer.builder();
  HR_ASSIGN(const Gathered gathered, gathered_of(builder, node));
  const auto& [x, indices, to, axis, from] = gathered;
  Shape shape = builder.at(indices).shape, strides = from.strides;
  shape[axis] = 1;
  strides[axis] = 0;
  const TensorIndex base = builder.add_view(x, std::move(shape), std::move(strides), from.offset);
  write_indirect(writer, node, {base, indices}, to, {from.shape[axis], from.strides[axis]});
  return {};
}

Status write_index(StepWriter& writer, const ir::Node& node) {
  PlanBuilder& builder = writer.builder();
  HR_ASSIGN(const TensorIndex x, builder.tensor(node.input(0)));
  HR_ASSIGN(const TensorIndex to, builder.tensor(node.output()));
  const PlanTensor from = builder.at(x);
  const size_t count = node.inputs().size() - 1, rest = from.shape.size() - count;
  const size_t picked = builder.at(to).shape.size() - rest;
  Shape shape(picked, Dim(1)), strides(picked, Dim(0));
  shape.insert(shape.end(), from.shape.begin() + static_cast<ptrdiff_t>(count), from.shape.end());
  strides.insert(strides.end(), from.strides.begin() + static_cast<ptrdiff_t>(count), from.strides.end());
  std::vector<TensorIndex> inputs = {builder.add_view(x, std::move(shape), std::move(strides), from.offset)};
  std::vector<Dim> numbers;
  for (size_t i = 0; i < count; ++i) {
    HR_ASSIGN(const TensorIndex indices, builder.tensor(node.input(i + 1)));
    inputs.push_back(framed(builder, indices, 0, rest));
    numbers.push_back(from.shape[i]);
    numbers.push_back(from.strides[i]);
  }
  write_indirect(writer, node, std::move(inputs), to, std::move(numbers));
  return {};
}

StepWriter::Step function_step(StepWriter& writer, Pointwise function, TensorIndex from, TensorIndex to) {
  const DType dtype = writer.builder().at(to).dtype;
  ElementText text;
  text.add_input(0, dtype);
  text.add_statements(instructions_text({{dtype}, {{function, dtype, {0}}}, {1}}));
  text.add_output(1, dtype);
  StepWriter::Step step;
  step.text = text.kernel(std::string(info(function).name));
  step.rule = kElementsRule;
  step.inputs = {from};
  step.outputs = {to};
  step.attributes = {{std::string(kWidth), text.width()}};
  return step;
}

void write_function(StepWriter& writer, const ir::Node& node, Pointwise function, TensorIndex from,
                    TensorIndex to) {
  writer.add(node, function_step(writer, function, from, to));
}

void write_ending(StepWriter& writer, const ir::Node& node, const Ending& ending, TensorIndex from,
                  TensorIndex to) {
  PlanBuilder& builder = writer.builder();
  const DType dtype = builder.at(to).dtype;
  const size_t rank = builder.at(to).shape.size();
  ElementText text;
  StepWriter::Step step;
  std::string sum;
  int reg = 0;
  const auto add = [&](TensorIndex tensor) {
    step.inputs.push_back(tensor);
    text.add_input(reg, builder.at(tensor).dtype);
    sum += fmt::format("{}r{}", reg > 0 ? " + " : "", reg);
    ++reg;
  };
  add(from);
  if (ending.bias != kNone) add(along_axis(builder, ending.bias, static_cast<int64_t>(rank) - 1, rank));
  if (ending.residual != kNone) add(ending.residual);
  text.add_statements(fmt::format("const {} r{} = {};\n", compute_name(dtype), reg, sum));
  if (ending.function) {
    const std::vector<DType> before(static_cast<size_t>(reg) + 1, dtype);
    text.add_statements(instructions_text({before, {{*ending.function, dtype, {reg}}}, {reg + 1}}));
    ++reg;
  }
  text.add_output(reg, dtype);
  step.text = text.kernel("ending");
  step.rule = kElementsRule;
  step.outputs = {to};
  step.attributes = {{std::string(kWidth), text.width()}};
  writer.add(node, std::move(step));
}

void write_copy(StepWriter& writer, const ir::Node& node, TensorIndex from, TensorIndex to) {
  PlanBuilder& builder = writer.builder();
  const PlanTensor x = builder.at(from), y = builder.at(to);
  StepWriter::Step step;
  step.inputs = {from};
  step.outputs = {to};
  const std::string_view type = raw_type_name(y.dtype);
  // Whether the fastest dimension of the one is a slow one of the other.
  const auto fastest = [&](const PlanTensor& tensor) -> std::optional<size_t> {
    for (size_t d = tensor.shape.size(); d-- > 0;)
      if (tensor.strides[d] == Dim(1) && writer.at_opt(tensor.shape[d]).value_or(2) >= 8) return d;
    return std::nullopt;
  };
  const std::optional<size_t> x_fast = fastest(x), y_fast = fastest(y);
  if (x_fast && y_fast && *x_fast != *y_fast) {
    step.text = {"transpose", "", 2, kTileSide * kTileRows,
                 fmt::format("transposed_copy<{}, %>(args);", type)};
    step.rule = kTilesRule;
  } else {
    const int64_t width = StepWriter::vector_width({y.dtype});
    step.text = element_kernel(
        "copy",
        fmt::format("{0} x[V];\nload_raw<{0}, V>(x, args.tensors[0], at[0], args.head.dense & 1u);\n"
                    "store_raw<{0}, V>(args.tensors[1], at[1], x);\n",
                    type),
        width);
    step.rule = kElementsRule;
    step.attributes.set(kWidth, width);
  }
  writer.add(node, std::move(step));
}

}  // namespace headrace::cuda
