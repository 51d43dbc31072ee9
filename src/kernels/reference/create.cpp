// Ops that make tensors from attributes alone.
#include <cstring>

#include "kernels/reference/op.h"

namespace headrace::reference {

namespace {

Status iota(const Call& call) {
  const std::optional<int64_t> start = call.dim("start"), count = call.dim("count");
  HR_TRY(call.expect(start && count, "start or count is not known"));
  HR_TRY(call.expect(call.outputs[0].shape == Sizes{*count}, "the result has another shape"));
  HR_ASSIGN(const Array out, call.scratch.make(DType::kI64, {*count}));
  const auto step = static_cast<uint64_t>(call.attributes.integer("step", 1));
  for (size_t i = 0; i < out.integers.size(); ++i)
    out.integers[i] = static_cast<int64_t>(static_cast<uint64_t>(*start) + i * step);
  return call.store(out);
}

Status fill(const Call& call) {
  const View& to = call.outputs[0];
  HR_ASSIGN(const Sizes shape, call.dims("shape"));
  HR_TRY(call.expect(shape == to.shape, "the result has another shape"));
  HR_ASSIGN(const Array out, call.scratch.make(to.dtype, shape));
  const double value = call.attributes.number("value");
  for (double& x : out.floats) x = value;
  for (int64_t& x : out.integers) x = static_cast<int64_t>(value);
  return call.store(out);
}

Status dim_value(const Call& call) {
  const std::optional<int64_t> value = call.dim("value");
  HR_TRY(call.expect(value.has_value(), "the value is not known"));
  HR_ASSIGN(const Array out, call.scratch.make(DType::kI64, {}));
  out.integers[0] = *value;
  return call.store(out);
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// A constant inside a recipe: attribute `hex` has its bytes, row-major and little-endian.
Status literal(const Call& call) {
  const View& to = call.outputs[0];
  const std::string hex = call.attributes.text("hex");
  const auto size = static_cast<size_t>(to.elements() * dtype_size(to.dtype));
  HR_TRY(call.expect(hex.size() == 2 * size && is_row_major(to), "the literal has another size"));
  for (size_t i = 0; i < size; ++i) {
    const int high = hex_digit(hex[2 * i]), low = hex_digit(hex[2 * i + 1]);
    HR_TRY(call.expect(high >= 0 && low >= 0, "a digit is not hexadecimal"));
    to.data[i] = static_cast<std::byte>(high * 16 + low);
  }
  return {};
}

constexpr Op kOps[] = {{"iota", 0, 0, 1, iota},
                       {"fill", 0, 0, 1, fill},
                       {"dim_value", 0, 0, 1, dim_value},
                       {"literal", 0, 0, 1, literal}};

}  // namespace

std::span<const Op> create_ops() { return kOps; }

}  // namespace headrace::reference
