// Views: other shapes of the same elements.
#include <algorithm>
#include <numeric>

#include "frontend/overload.h"

namespace headrace::frontend {
namespace {

using Ints = std::vector<int64_t>;

// PyTorch has worked out the shape, -1 included.
Emitted reshape(OpCall& c) { return c.reshape(c.tensor("self"), c.shape()); }

Emitted expand(OpCall& c) { return c.expand(c.tensor("self"), c.shape()); }

Ints identity(int64_t rank) {
  Ints perm(static_cast<size_t>(rank));
  std::iota(perm.begin(), perm.end(), 0);
  return perm;
}

Emitted permute(OpCall& c) {
  HR_ASSIGN(Value * x, c.tensor("self"));
  HR_ASSIGN(Ints perm, c.integers("dims"));
  if (perm.size() != static_cast<size_t>(x->rank())) return unsupported("dims are not one for each dim");
  for (int64_t& axis : perm) {
    HR_ASSIGN(axis, normal_axis(axis, x->rank()));
  }
  return c.transpose(x, std::move(perm));
}

Emitted swapped(OpCall& c, std::string_view first, std::string_view second) {
  HR_ASSIGN(Value * x, c.tensor("self"));
  if (x->rank() == 0) return x;
  HR_ASSIGN(const int64_t a, c.axis(first, x->rank()));
  HR_ASSIGN(const int64_t b, c.axis(second, x->rank()));
  Ints perm = identity(x->rank());
  std::swap(perm[static_cast<size_t>(a)], perm[static_cast<size_t>(b)]);
  return c.transpose(x, std::move(perm));
}
Emitted transpose(OpCall& c) { return swapped(c, "dim0", "dim1"); }
Emitted swapaxes(OpCall& c) { return swapped(c, "axis0", "axis1"); }

// t, and mT of higher ranks: the last two dims swapped.
Emitted matrix_transpose(OpCall& c) {
  HR_ASSIGN(Value * x, c.tensor("self"));
  if (x->rank() < 2) return x;
  Ints perm = identity(x->rank());
  std::swap(perm[perm.size() - 1], perm[perm.size() - 2]);
  return c.transpose(x, std::move(perm));
}

Emitted reversed(OpCall& c) {
  HR_ASSIGN(Value * x, c.tensor("self"));
  Ints perm = identity(x->rank());
  std::reverse(perm.begin(), perm.end());
  return c.transpose(x, std::move(perm));
}

// Dims `source` come to lie at `destination`; the others fill the rest in order.
Emitted movedim(OpCall& c) {
  HR_ASSIGN(Value * x, c.tensor("self"));
  const auto positions = [&](std::string_view name) -> Result<Ints> {
    if (!c.dims(name).empty()) return c.integers(name);
    HR_ASSIGN(const int64_t one, c.integer(name));
    return Ints{one};
  };
  HR_ASSIGN(const Ints source, positions("source"));
  HR_ASSIGN(const Ints destination, positions("destination"));
  if (source.size() != destination.size()) return unsupported("source and destination differ in length");
  Ints perm(static_cast<size_t>(x->rank()), -1);
  std::vector<bool> taken(perm.size(), false);
  for (size_t i = 0; i < source.size(); ++i) {
    HR_ASSIGN(const int64_t from, normal_axis(source[i], x->rank()));
    HR_ASSIGN(const int64_t to, normal_axis(destination[i], x->rank()));
    perm[static_cast<size_t>(to)] = from;
    taken[static_cast<size_t>(from)] = true;
  }
  size_t next = 0;
  for (int64_t& axis : perm) {
    if (axis >= 0) continue;
    while (next < taken.size() && taken[next]) ++next;
    axis = static_cast<int64_t>(next++);
  }
  return c.transpose(x, std::move(perm));
}

// Only the plain re-view: all elements, in order. PyTorch writes it after a product of its own making.
Emitted as_strided(OpCall& c) {
  HR_ASSIGN(Value * x, c.tensor("self"));
  const std::vector<Dim> size = c.dims("size"), stride = c.dims("stride");
  const bool at_start = !c.has("storage_offset") || c.dim("storage_offset") == Dim(0);
  const Shape wanted = row_major_strides(std::span<const Dim>(size));
  bool in_order = stride.size() == size.size();
  for (size_t i = 0; in_order && i < size.size(); ++i) {
    in_order = stride[i] == wanted[i] || size[i] == Dim(1);
  }
  const bool whole =
      element_count(std::span<const Dim>(size)) == element_count(std::span<const Dim>(x->shape()));
  if (!c.row_major() || !at_start || !in_order || !whole) {
    return unsupported(
        "size {} with strides {} is not supported; row-major strides over all of a row-major tensor are",
        to_text(Shape(size)), to_text(Shape(stride)));
  }
  return c.reshape(x, c.shape());
}

Emitted same_dtype_view(OpCall& c) {
  HR_ASSIGN(Value * x, c.tensor("self"));
  if (x->dtype() == c.result().dtype) return x;
  return unsupported("the bits of {} seen as {} are not supported", dtype_name(x->dtype()),
                     dtype_name(c.result().dtype));
}

constexpr Overload kRows[] = {
    {"view(Tensor(a) self, SymInt[] size) -> Tensor(a)", reshape},
    {"view.dtype(Tensor(a) self, ScalarType dtype) -> Tensor(a)", same_dtype_view},
    {"_unsafe_view(Tensor self, SymInt[] size) -> Tensor", reshape},
    {"view_copy(Tensor self, SymInt[] size) -> Tensor", reshape},
    {"view_as(Tensor(a) self, Tensor other) -> Tensor(a)", reshape},
    {"reshape(Tensor(a) self, SymInt[] shape) -> Tensor(a)", reshape},
    {"reshape_as(Tensor(a) self, Tensor other) -> Tensor(a)", reshape},
    {"flatten.using_ints(Tensor(a) self, int start_dim=0, int end_dim=-1) -> Tensor(a)", reshape},
    {"unflatten.int(Tensor(a) self, int dim, SymInt[] sizes) -> Tensor(a)", reshape},
    {"ravel(Tensor(a) self) -> Tensor(a)", reshape},
    {"squeeze(Tensor(a) self) -> Tensor(a)", reshape},
    {"squeeze.dim(Tensor(a) self, int dim) -> Tensor(a)", reshape},
    {"squeeze.dims(Tensor(a) self, int[] dim) -> Tensor(a)", reshape},
    {"unsqueeze(Tensor(a) self, int dim) -> Tensor(a)", reshape},
    {"expand(Tensor(a) self, SymInt[] size, *, bool implicit=False) -> Tensor(a)", expand},
    {"expand_as(Tensor(a) self, Tensor other) -> Tensor(a)", expand},
    {"broadcast_to(Tensor(a) self, SymInt[] size) -> Tensor(a)", expand},
    {"permute(Tensor(a) self, int[] dims) -> Tensor(a)", permute},
    {"transpose.int(Tensor(a) self, int dim0, int dim1) -> Tensor(a)", transpose},
    {"swapdims(Tensor(a) self, int dim0, int dim1) -> Tensor(a)", transpose},
    {"swapaxes(Tensor(a) self, int axis0, int axis1) -> Tensor(a)", swapaxes},
    {"t(Tensor(a) self) -> Tensor(a)", matrix_transpose},
    {"mT(Tensor(a) self) -> Tensor(a)", matrix_transpose},
    {"adjoint(Tensor(a) self) -> Tensor(a)", matrix_transpose},
    {"numpy_T(Tensor(a) self) -> Tensor(a)", reversed},
    {"movedim.int(Tensor(a) self, int source, int destination) -> Tensor(a)", movedim},
    {"movedim.intlist(Tensor(a) self, int[] source, int[] destination) -> Tensor(a)", movedim},
    {"as_strided(Tensor(a) self, SymInt[] size, SymInt[] stride, SymInt? storage_offset=None) -> Tensor(a)",
     as_strided},
};

}  // namespace

std::span<const Overload> view_overloads() { return kRows; }

}  // namespace headrace::frontend
