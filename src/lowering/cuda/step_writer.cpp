#include "lowering/cuda/step_writer.h"

#include <algorithm>
#include <bit>

#include <fmt/format.h>

#include "engine/sizes.h"
#include "kernels/cuda/generated_step.h"

namespace headrace::cuda {

std::string_view type_name(DType dtype) {
  switch (dtype) {
    case DType::kBool: return "b8";
    default: return dtype_name(dtype);
  }
}

std::string_view raw_type_name(DType dtype) {
  switch (dtype_size(dtype)) {
    case 1: return "u8";
    case 2: return "i16";
    case 4: return "i32";
    default: return "i64";
  }
}

std::string_view compute_name(DType dtype) {
  switch (dtype) {
    case DType::kF64: return "double";
    case DType::kF16:
    case DType::kBF16:
    case DType::kF32: return "float";
    case DType::kI64: return "i64";
    default: return "i32";
  }
}

std::string constant_text(DType dtype, double value) {
  const std::string exact = fmt::format("bits_to_double(0x{:016x}ULL)", std::bit_cast<uint64_t>(value));
  if (is_float(dtype)) return fmt::format("static_cast<{}>({})", compute_name(dtype), exact);
  return fmt::format("static_cast<{}>(truncate({}))", compute_name(dtype), exact);
}

std::string constants_struct(std::string_view name, const std::vector<std::pair<std::string, Sizes>>& lists) {
  std::string text = fmt::format("struct {} {{\n", name);
  for (const auto& [function, values] : lists) {
    text += fmt::format("  __host__ __device__ static constexpr int {}(int d) {{ return ", function);
    for (size_t d = 0; d + 1 < values.size(); ++d) text += fmt::format("d == {} ? {} : ", d, values[d]);
    text += fmt::format("{}; }}\n", values.empty() ? 0 : values.back());
  }
  return text + "};\n";
}

namespace {

DimBindings bindings(std::span<const Symbol> symbols, int64_t Symbol::*value) {
  DimBindings dims;
  for (const Symbol& symbol : symbols) dims[symbol.name] = symbol.*value;
  return dims;
}

std::optional<int64_t> size_at(const Dim& dim, const DimBindings& dims) {
  const Result<int64_t> size = dim.evaluate(dims);
  if (!size.ok()) return std::nullopt;
  return std::max<int64_t>(*size, 0);
}

std::string with_index(std::string_view text, std::string_view type) {
  std::string result;
  for (const char c : text) {
    if (c == '%')
      result += type;
    else
      result += c;
  }
  return result;
}

}  // namespace

StepWriter::StepWriter(PlanBuilder& builder, KernelSources& sources, Target target)
    : builder_(builder),
      sources_(sources),
      target_(target),
      opt_(opt_bindings(builder.graph().symbols)),
      most_(bindings(builder.graph().symbols, &Symbol::max)),
      least_(bindings(builder.graph().symbols, &Symbol::min)) {}

std::optional<int64_t> StepWriter::at_opt(const Dim& dim) const { return size_at(dim, opt_); }
std::optional<int64_t> StepWriter::at_most(const Dim& dim) const {
  const std::optional<int64_t> high = size_at(dim, most_), low = size_at(dim, least_),
                               opt = size_at(dim, opt_);
  if (!high || !low || !opt) return std::nullopt;
  return std::max({*high, *low, *opt});
}

bool StepWriter::fits_in_32_bits(TensorIndex tensor, const DimBindings& dims) const {
  const PlanTensor& at = builder_.at(tensor);
  const Result<Sizes> shape = evaluate(at.shape, dims), strides = evaluate(at.strides, dims);
  if (!shape.ok() || !strides.ok()) return false;
  constexpr int64_t kMost = int64_t{1} << 31;
  int64_t count = 1;
  for (const int64_t size : *shape)
    if (__builtin_mul_overflow(count, std::max<int64_t>(size, 1), &count) || count >= kMost) return false;
  const std::optional<int64_t> end = window_end(*shape, *strides, 0);
  return end && *end < kMost;
}

std::string StepWriter::index_type(const std::vector<TensorIndex>& tensors) const {
  for (const TensorIndex tensor : tensors) {
    if (tensor == kNone) continue;
    for (const DimBindings* dims : {&most_, &opt_, &least_})
      if (!fits_in_32_bits(tensor, *dims)) return "unsigned long long";
  }
  return "unsigned";
}

int64_t StepWriter::vector_width(const std::vector<DType>& dtypes) {
  int64_t least = 16, most = 1;
  for (const DType dtype : dtypes) {
    least = std::min(least, dtype_size(dtype));
    most = std::max(most, dtype_size(dtype));
  }
  constexpr int64_t kVector = 16;  // bytes of one load
  return std::max<int64_t>(1, std::min(kVector / least, 2 * kVector / most));
}

std::vector<DType> StepWriter::dtypes(const std::vector<TensorIndex>& tensors) const {
  std::vector<DType> result;
  for (const TensorIndex tensor : tensors)
    if (tensor != kNone) result.push_back(builder_.at(tensor).dtype);
  return result;
}

RowTeam StepWriter::row_team(const Dim& rows, const Dim& columns, bool neighbours_are_rows) const {
  const int64_t row_count = at_opt(rows).value_or(1), width = at_opt(columns).value_or(1024);
  const auto block = [](int64_t threads) {
    return RowTeam{fmt::format("BlockTeam<{}>", threads), {threads, 1}, threads, 1};
  };
  if (neighbours_are_rows && row_count >= 32) {
    const int64_t threads = width >= 64 ? 16 : width >= 8 ? 8 : 1;
    return {fmt::format("ColumnTeam<{}>", threads), {32, threads}, threads, 32};
  }
  constexpr int64_t kManyRows = 2048;  // enough warps for a device
  if (width > 16384) return block(1024);
  if (width > 4096) return block(512);
  if (width > 1024) return block(256);
  if (width > 256 && row_count < kManyRows) return block(128);
  return {"WarpTeam<4>", {128, 1}, 32, 4};
}

RowTeam StepWriter::kept_row_team(const Dim& rows, int64_t columns, int64_t width) const {
  constexpr int64_t kRunsOfAWarp = 4, kManyRows = 2048;  // a thread; enough warps for a device
  constexpr int64_t kFewRows = 512;  // as many warps a row as it has runs: each is soonest done
  const int64_t warps_of_runs = (columns + 32 * width - 1) / (32 * width);
  if (at_opt(rows).value_or(kManyRows) <= kFewRows && warps_of_runs > 1 && warps_of_runs <= kRunsOfAWarp) {
    const int64_t threads = 32 * warps_of_runs;
    return {fmt::format("BlockTeam<{}>", threads), {threads, 1}, threads, 1};
  }
  if (columns <= 32 * width * kRunsOfAWarp) {
    const int64_t warps = at_opt(rows).value_or(1) >= kManyRows ? 4 : 1;
    return {fmt::format("WarpTeam<{}>", warps), {32 * warps, 1}, 32, warps};
  }
  int64_t threads = 128;
  while (threads < 1024 && threads * width * 2 < columns) threads *= 2;
  return {fmt::format("BlockTeam<{}>", threads), {threads, 1}, threads, 1};
}

AttributeMap StepWriter::describe(Step step) {
  std::vector<TensorIndex> tensors = step.inputs;
  tensors.insert(tensors.end(), step.outputs.begin(), step.outputs.end());
  const std::string index = index_type(tensors);
  step.text.tensors = static_cast<int>(tensors.size());
  step.text.declarations = with_index(step.text.declarations, index);
  step.text.call = with_index(step.text.call, index);
  step.attributes.set(kFunction, sources_.add(step.text));
  step.attributes.set(kRule, std::string(step.rule));
  step.attributes.set(kIndexBits, int64_t{index == "unsigned" ? 32 : 64});
  return std::move(step.attributes);
}

void StepWriter::add(const ir::Node& node, Step step) {
  AttributeMap attributes = describe(step);
  builder_.add_step(std::string(kGenerated), node, std::move(step.inputs), std::move(step.outputs),
                    std::move(attributes));
}

void StepWriter::set_modules(Plan& plan) const {
  for (headrace::Step& step : plan.steps) {
    const AttributeMap before = step.attributes;
    for (const auto& [name, value] : before.entries()) {
      if (!name.ends_with(kFunction) || !std::holds_alternative<std::string>(value)) continue;
      const std::string prefix = name.substr(0, name.size() - kFunction.size());
      step.attributes.set(prefix + std::string(kModule), sources_.program_of(std::get<std::string>(value)));
    }
  }
}

}  // namespace headrace::cuda
