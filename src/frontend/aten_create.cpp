// Tensors made from numbers.
#include <cmath>

#include "frontend/overload.h"
#include "frontend/promotion.h"

namespace headrace::frontend {
namespace {

using Ints = std::vector<int64_t>;

bool is_int(const Scalar& scalar) { return std::holds_alternative<Dim>(scalar); }

// Ints are exact; floats are start + step * i in f32, or f64 where that is asked for.
Emitted arange(OpCall& c, const Scalar& start, const Scalar& step) {
  const DType dtype = c.result().dtype;
  const Dim count = c.shape().front();
  const bool ints = is_int(start) && is_int(step) && std::get<Dim>(step).is_constant();
  if (ints) return c.cast(c.iota(std::get<Dim>(start), count, std::get<Dim>(step).constant()), dtype);
  const DType wide = dtype == DType::kF64 ? DType::kF64 : DType::kF32;
  const Emitted steps = c.add("mul", {c.cast(c.iota(0, count), wide), c.number(wide, step)});
  return c.cast(c.add("add", {steps, c.number(wide, start)}), dtype);
}

Emitted arange_to(OpCall& c) {
  const Scalar end = c.scalar("end");  // its type decides, not its value
  return is_int(end) ? arange(c, Dim(0), Dim(1)) : arange(c, 0.0, 1.0);
}
Emitted arange_from(OpCall& c) { return arange(c, c.scalar("start"), Dim(1)); }
Emitted arange_by(OpCall& c) { return arange(c, c.scalar("start"), c.scalar("step")); }

// From both ends, as PyTorch does, so that the last is exact.
Emitted linspace(OpCall& c) {
  HR_ASSIGN(const double start, c.constant("start"));
  HR_ASSIGN(const double end, c.constant("end"));
  HR_ASSIGN(const int64_t count, c.integer("steps"));
  const DType dtype = c.result().dtype, wide = dtype == DType::kF64 ? DType::kF64 : DType::kF32;
  if (!is_float(dtype)) return unsupported("dtype {} is not supported; floats are", dtype_name(dtype));
  const double step = count > 1 ? (end - start) / static_cast<double>(count - 1) : 0;
  const Emitted at = c.cast(c.iota(0, count), wide);
  const Emitted up = c.add("add", {c.add("mul", {at, c.literal(wide, step)}), c.literal(wide, start)});
  const Emitted left = c.add("sub", {c.literal(wide, static_cast<double>(count - 1)), at});
  const Emitted down = c.add("sub", {c.literal(wide, end), c.add("mul", {left, c.literal(wide, step)})});
  const Emitted lower = c.add("lt", {at, c.literal(wide, std::floor(static_cast<double>(count) / 2))});
  return c.cast(c.add("where", {lower, up, down}), dtype);
}

Emitted full(OpCall& c) { return c.full(c.shape(), c.result().dtype, c.scalar("fill_value")); }

// Memory that PyTorch leaves as it is starts as zeros.
template <int64_t value>
Emitted constant(OpCall& c) {
  return c.full(c.shape(), c.result().dtype, Dim(value));
}

Emitted scalar_tensor(OpCall& c) { return c.number(c.result().dtype, c.scalar("s")); }

Emitted eye(OpCall& c) {
  const Emitted rows = c.unsqueeze(c.iota(0, c.shape()[0]), 1), columns = c.iota(0, c.shape()[1]);
  return c.cast(c.add("eq", {rows, columns}), c.result().dtype);
}

template <bool lower>
Emitted triangle_indices(OpCall& c) {
  HR_ASSIGN(const int64_t rows, c.integer("row"));
  HR_ASSIGN(const int64_t columns, c.integer("col"));
  HR_ASSIGN(const int64_t offset, c.integer("offset"));
  constexpr int64_t kMost = int64_t{1} << 20;  // they are written out
  if (rows < 0 || columns < 0 || (columns > 0 && rows > kMost / columns))
    return unsupported("{} rows and {} columns are not supported; up to 2^20 pairs are", rows, columns);
  Ints firsts, seconds;
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t column = 0; column < columns; ++column) {
      if (lower ? column - row > offset : column - row < offset) continue;
      firsts.push_back(row);
      seconds.push_back(column);
    }
  }
  firsts.insert(firsts.end(), seconds.begin(), seconds.end());
  return c.cast(c.reshape(c.int_list(firsts), c.shape()), c.result().dtype);
}

constexpr Overload kRows[] = {
    {"arange(Scalar end, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, "
     "bool? pin_memory=None) -> Tensor",
     arange_to},
    {"arange.start(Scalar start, Scalar end, *, ScalarType? dtype=None, Layout? layout=None, "
     "Device? device=None, bool? pin_memory=None) -> Tensor",
     arange_from},
    {"arange.start_step(Scalar start, Scalar end, Scalar step=1, *, ScalarType? dtype=None, "
     "Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor",
     arange_by},
    {"linspace(Scalar start, Scalar end, int steps, *, ScalarType? dtype=None, Layout? "
     "layout=None, Device? device=None, bool? pin_memory=None) -> Tensor",
     linspace},
    {"full(SymInt[] size, Scalar fill_value, *, ScalarType? dtype=None, Layout? layout=None, "
     "Device? device=None, bool? pin_memory=None) -> Tensor",
     full},
    {"full_like(Tensor self, Scalar fill_value, *, ScalarType? dtype=None, Layout? layout=None, "
     "Device? device=None, bool? pin_memory=None, MemoryFormat? memory_format=None) -> Tensor",
     full},
    {"new_full(Tensor self, SymInt[] size, Scalar fill_value, *, ScalarType? dtype=None, Layout? "
     "layout=None, Device? device=None, bool? pin_memory=None) -> Tensor",
     full},
    {"zeros(SymInt[] size, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, "
     "bool? pin_memory=None) -> Tensor",
     constant<0>},
    {"zeros_like(Tensor self, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, "
     "bool? pin_memory=None, MemoryFormat? memory_format=None) -> Tensor",
     constant<0>},
    {"new_zeros(Tensor self, SymInt[] size, *, ScalarType? dtype=None, Layout? layout=None, "
     "Device? device=None, bool? pin_memory=None) -> Tensor",
     constant<0>},
    {"ones(SymInt[] size, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, "
     "bool? pin_memory=None) -> Tensor",
     constant<1>},
    {"ones_like(Tensor self, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, "
     "bool? pin_memory=None, MemoryFormat? memory_format=None) -> Tensor",
     constant<1>},
    {"new_ones(Tensor self, SymInt[] size, *, ScalarType? dtype=None, Layout? layout=None, Device? "
     "device=None, bool? pin_memory=None) -> Tensor",
     constant<1>},
    {"empty.memory_format(SymInt[] size, *, ScalarType? dtype=None, Layout? layout=None, Device? "
     "device=None, bool? pin_memory=None, MemoryFormat? memory_format=None) -> Tensor",
     constant<0>},
    {"empty_like(Tensor self, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, "
     "bool? pin_memory=None, MemoryFormat? memory_format=None) -> Tensor",
     constant<0>},
    {"new_empty(Tensor self, SymInt[] size, *, ScalarType? dtype=None, Layout? layout=None, "
     "Device? device=None, bool? pin_memory=None) -> Tensor",
     constant<0>},
    {"empty_permuted(SymInt[] size, int[] physical_layout, *, ScalarType? dtype=None, Layout? "
     "layout=None, Device? device=None, bool? pin_memory=None) -> Tensor",
     constant<0>},
    {"empty_strided(SymInt[] size, SymInt[] stride, *, ScalarType? dtype=None, Layout? "
     "layout=None, Device? device=None, bool? pin_memory=None) -> Tensor",
     constant<0>},
    {"new_empty_strided(Tensor self, SymInt[] size, SymInt[] stride, *, ScalarType? dtype=None, "
     "Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor",
     constant<0>},
    {"scalar_tensor(Scalar s, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, "
     "bool? pin_memory=None) -> Tensor",
     scalar_tensor},
    {"eye(SymInt n, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? "
     "pin_memory=None) -> Tensor",
     eye},
    {"eye.m(SymInt n, SymInt m, *, ScalarType? dtype=None, Layout? layout=None, Device? "
     "device=None, bool? pin_memory=None) -> Tensor",
     eye},
    {"tril_indices(int row, int col, int offset=0, *, ScalarType? dtype=4, Layout? layout=None, "
     "Device? device=None, bool? pin_memory=None) -> Tensor",
     triangle_indices<true>},
    {"triu_indices(int row, int col, int offset=0, *, ScalarType? dtype=4, Layout? layout=None, "
     "Device? device=None, bool? pin_memory=None) -> Tensor",
     triangle_indices<false>},
};

}  // namespace

std::span<const Overload> create_overloads() { return kRows; }

}  // namespace headrace::frontend
