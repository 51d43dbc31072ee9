// Tensors joined, repeated and reordered.
#include <algorithm>

#include "frontend/overload.h"
#include "frontend/promotion.h"

namespace headrace::frontend {
namespace {

using Ints = std::vector<int64_t>;

// All in the result's dtype. Empty tensors of rank 1 are skipped, as cat has always done.
Result<std::vector<Value*>> typed(OpCall& c, bool skip_empty) {
  std::vector<Value*> values;
  for (Value* x : c.tensors("tensors")) {
    if (!x) return unsupported("a list with None in it is not supported");
    if (skip_empty && x->shape() == Shape{0} && c.shape().size() != 1) continue;
    HR_ASSIGN(x, c.cast(x, c.result().dtype));
    values.push_back(x);
  }
  if (values.empty()) return unsupported("an empty list of tensors is not supported");
  return values;
}

Emitted cat(OpCall& c) {
  HR_ASSIGN(std::vector<Value*> values, typed(c, true));
  HR_ASSIGN(const int64_t axis, c.axis("dim", values.front()->rank()));
  return c.concat(std::move(values), axis);
}

Emitted stack(OpCall& c) {
  HR_ASSIGN(std::vector<Value*> values, typed(c, false));
  HR_ASSIGN(const int64_t axis, c.axis("dim", values.front()->rank() + 1));
  for (Value*& x : values) {
    HR_ASSIGN(x, c.unsqueeze(x, axis));
  }
  return c.concat(std::move(values), axis);
}

// Each dim d with its repeats r as [r, d], expanded and joined again.
Emitted repeated(OpCall& c, std::string_view name) {
  HR_ASSIGN(Value * x, c.tensor("self"));
  std::vector<Dim> repeats = c.dims(name);
  Shape shape = x->shape();
  if (repeats.size() < shape.size()) repeats.insert(repeats.begin(), shape.size() - repeats.size(), Dim(1));
  shape.insert(shape.begin(), repeats.size() - shape.size(), Dim(1));
  Shape apart, wide;
  for (size_t i = 0; i < shape.size(); ++i) {
    const bool once = repeats[i] == Dim(1);
    if (!once) apart.push_back(1), wide.push_back(repeats[i]);
    apart.push_back(shape[i]), wide.push_back(shape[i]);
  }
  return c.reshape(c.expand(c.reshape(x, apart), wide), c.shape());
}
Emitted repeat(OpCall& c) { return repeated(c, "repeats"); }
Emitted tile(OpCall& c) { return repeated(c, "dims"); }

// Each element `repeats` times in a row: dim d as [d, r].
Emitted repeat_interleave(OpCall& c) {
  HR_ASSIGN(Value * x, c.tensor("self"));
  int64_t axis = 0;
  if (c.has("dim")) {
    HR_ASSIGN(axis, c.axis("dim", x->rank()));
  } else {
    HR_ASSIGN(x, c.reshape(x, {element_count(std::span<const Dim>(x->shape()))}));
  }
  HR_ASSIGN(Value * apart, c.unsqueeze(x, axis + 1));
  Shape wide = apart->shape();
  wide[static_cast<size_t>(axis) + 1] = c.dim("repeats");
  return c.reshape(c.expand(apart, wide), c.shape());
}

Emitted flip(OpCall& c) {
  HR_ASSIGN(Value * x, c.tensor("self"));
  if (c.dims("dims").empty()) return x;
  HR_ASSIGN(const Ints axes, c.axes("dims", x->rank()));
  for (const int64_t axis : axes) {
    const Dim size = x->shape()[static_cast<size_t>(axis)];
    HR_ASSIGN(x, c.add("gather", {x, c.iota(size - Dim(1), size, -1)}, {{"axis", axis}}));
  }
  return x;
}

// The last `shift` elements of a dim come first.
Emitted rolled(OpCall& c, Value* x, int64_t axis, const Dim& shift) {
  const Dim size = x->shape()[static_cast<size_t>(axis)];
  if (size == Dim(0)) return x;
  const Dim cut = size - Dim::mod(shift, size);
  HR_ASSIGN(Value * tail, c.slice(x, axis, cut, size));
  HR_ASSIGN(Value * head, c.slice(x, axis, 0, cut));
  return tail->shape()[static_cast<size_t>(axis)] == Dim(0) ? Emitted(head) : c.concat({tail, head}, axis);
}

Emitted roll(OpCall& c) {
  HR_ASSIGN(Value * x, c.tensor("self"));
  const std::vector<Dim> shifts = c.dims("shifts");
  HR_ASSIGN(const Ints dims, c.integers("dims"));
  if (dims.empty() && shifts.size() == 1) {
    HR_ASSIGN(Value * flat, c.reshape(x, {element_count(std::span<const Dim>(x->shape()))}));
    return c.reshape(rolled(c, flat, 0, shifts.front()), c.shape());
  }
  if (dims.size() != shifts.size()) return unsupported("shifts and dims differ in length");
  for (size_t i = 0; i < dims.size(); ++i) {
    HR_ASSIGN(const int64_t axis, normal_axis(dims[i], x->rank()));
    HR_ASSIGN(x, rolled(c, x, axis, shifts[i]));
  }
  return x;
}

Result<std::vector<Value*>> meshgrid(OpCall& c) {
  const std::vector<Value*> axes = c.tensors("tensors");
  std::vector<Value*> grids(c.outputs());
  if (grids.size() != axes.size()) return unsupported("a list with None in it is not supported");
  for (size_t i = 0; i < axes.size(); ++i) {
    const Shape& wanted = c.shape(i);
    Shape shape(wanted.size(), Dim(1));
    // indexing = "xy" swaps the first two dims; the shape shows where this one lies.
    const bool swapped = c.text("indexing") == "xy" && i < 2 && wanted.size() > 1;
    const size_t at = swapped ? 1 - i : i;
    if (at < shape.size()) shape[at] = wanted[at];
    HR_ASSIGN(grids[i], c.expand(c.reshape(axes[i], shape), wanted));
  }
  return grids;
}

Result<std::vector<Value*>> meshgrid_by_matrix(OpCall& c) {
  const std::vector<Value*> axes = c.tensors("tensors");
  std::vector<Value*> grids(c.outputs());
  for (size_t i = 0; i < axes.size() && i < grids.size(); ++i) {
    Shape shape(c.shape(i).size(), Dim(1));
    if (i < shape.size()) shape[i] = c.shape(i)[i];
    HR_ASSIGN(grids[i], c.expand(c.reshape(axes[i], shape), c.shape(i)));
  }
  return grids;
}

constexpr Overload kRows[] = {
    {"cat(Tensor[] tensors, int dim=0) -> Tensor", cat},
    {"concat(Tensor[] tensors, int dim=0) -> Tensor", cat},
    {"stack(Tensor[] tensors, int dim=0) -> Tensor", stack},
    {"repeat(Tensor self, SymInt[] repeats) -> Tensor", repeat},
    {"tile(Tensor self, SymInt[] dims) -> Tensor", tile},
    {"repeat_interleave.self_int(Tensor self, SymInt repeats, int? dim=None, *, SymInt? output_size=None) "
     "-> Tensor",
     repeat_interleave},
    {"flip(Tensor self, int[] dims) -> Tensor", flip},
    {"roll(Tensor self, SymInt[1] shifts, int[1] dims=[]) -> Tensor", roll},
    {"meshgrid(Tensor[] tensors) -> Tensor[]", meshgrid_by_matrix},
    {"meshgrid.indexing(Tensor[] tensors, *, str indexing) -> Tensor[]", meshgrid},
};

}  // namespace

std::span<const Overload> join_overloads() { return kRows; }

}  // namespace headrace::frontend
