// Parts of a tensor, and parts written into one.
#include <numeric>

#include "frontend/dim_range.h"
#include "frontend/overload.h"

namespace headrace::frontend {
namespace {

// A Python slice bound: counted from the end where negative, and held inside 0 … size.
Result<Dim> clamped(OpCall& c, std::string_view name, Dim bound, const Dim& size) {
  constexpr int64_t kBeyond = int64_t{1} << 62;  // how "to the end" is written
  if (bound.is_constant() && bound.constant() >= kBeyond) return size;
  if (bound.is_constant() && bound.constant() <= -kBeyond) return Dim(0);
  const std::vector<Symbol>& symbols = c.graph().symbols;
  const DimRange range = range_of(bound, symbols);
  if (range.low < 0 && range.high >= 0) {
    return unsupported("{} = {} is not supported: it may be negative or not", name, bound.text());
  }
  if (range.high < 0) {
    bound = bound + size;
    if (!always_at_most(0, bound, symbols)) bound = Dim::max(0, bound);
  }
  if (always_at_most(bound, size, symbols)) return bound;
  return always_at_most(size, bound, symbols) ? size : Dim::min(bound, size);
}

struct Part {
  int64_t axis = 0, step = 1;
  Dim start, stop;
};

Result<Part> part_of(OpCall& c, const Value* x) {
  Part part;
  HR_ASSIGN(part.axis, c.axis("dim", x->rank()));
  HR_ASSIGN(part.step, c.integer("step"));
  if (part.step <= 0) return unsupported("step = {} is not supported; positive ones are", part.step);
  const Dim size = x->shape()[static_cast<size_t>(part.axis)];
  part.stop = size;
  if (c.has("start")) {
    HR_ASSIGN(part.start, clamped(c, "start", c.dim("start"), size));
  }
  if (c.has("end")) {
    HR_ASSIGN(part.stop, clamped(c, "end", c.dim("end"), size));
  }
  if (!always_at_most(part.start, part.stop, c.graph().symbols)) {
    part.stop = Dim::max(part.start, part.stop);
  }
  return part;
}

Emitted slice(OpCall& c) {
  HR_ASSIGN(Value * x, c.tensor("self"));
  HR_ASSIGN(const Part part, part_of(c, x));
  return c.slice(x, part.axis, part.start, part.stop, part.step);
}

Emitted narrow(OpCall& c) {
  HR_ASSIGN(Value * x, c.tensor("self"));
  HR_ASSIGN(const int64_t axis, c.axis("dim", x->rank()));
  HR_ASSIGN(const Dim start, clamped(c, "start", c.dim("start"), x->shape()[static_cast<size_t>(axis)]));
  return c.slice(x, axis, start, start + c.dim("length"));
}

Result<Dim> position(OpCall& c, const Dim& size) {
  const Dim index = c.dim("index");
  const DimRange range = range_of(index, c.graph().symbols);
  if (range.low >= 0) return index;
  if (range.high < 0) return index + size;
  return unsupported("index = {} is not supported: it may be negative or not", index.text());
}

Emitted select(OpCall& c) {
  HR_ASSIGN(Value * x, c.tensor("self"));
  HR_ASSIGN(const int64_t axis, c.axis("dim", x->rank()));
  HR_ASSIGN(const Dim at, position(c, x->shape()[static_cast<size_t>(axis)]));
  return c.squeeze(c.slice(x, axis, at, at + Dim(1)), axis);
}

// Pieces one after the other, as long as PyTorch says each is.
Result<std::vector<Value*>> split(OpCall& c) {
  HR_ASSIGN(Value * x, c.tensor("self"));
  HR_ASSIGN(const int64_t axis, c.axis("dim", x->rank()));
  std::vector<Value*> pieces(c.outputs());
  Dim start = 0;
  for (size_t i = 0; i < pieces.size(); ++i) {
    const Dim stop = start + c.shape(i)[static_cast<size_t>(axis)];
    if (c.used(i)) {
      HR_ASSIGN(pieces[i], c.slice(x, axis, start, stop));
    }
    start = stop;
  }
  return pieces;
}

Result<std::vector<Value*>> unbind(OpCall& c) {
  HR_ASSIGN(Value * x, c.tensor("self"));
  HR_ASSIGN(const int64_t axis, c.axis("dim", x->rank()));
  std::vector<Value*> pieces(c.outputs());
  for (size_t i = 0; i < pieces.size(); ++i) {
    const Dim at = static_cast<int64_t>(i);
    if (!c.used(i)) continue;
    HR_ASSIGN(pieces[i], c.squeeze(c.slice(x, axis, at, at + Dim(1)), axis));
  }
  return pieces;
}

// x with `piece` in place of the elements from start to stop.
Emitted replaced(OpCall& c, Value* x, Value* piece, const Part& part) {
  const Dim size = x->shape()[static_cast<size_t>(part.axis)];
  std::vector<Value*> parts;
  if (part.start != Dim(0)) {
    HR_ASSIGN(Value * before, c.slice(x, part.axis, 0, part.start));
    parts.push_back(before);
  }
  parts.push_back(piece);
  if (part.stop != size) {
    HR_ASSIGN(Value * after, c.slice(x, part.axis, part.stop, size));
    parts.push_back(after);
  }
  return c.concat(std::move(parts), part.axis);
}

Emitted slice_scatter(OpCall& c) {
  HR_ASSIGN(Value * x, c.tensor("self"));
  HR_ASSIGN(const Part part, part_of(c, x));
  if (part.step != 1) return unsupported("step = {} is not supported; 1 is", part.step);
  Shape shape = x->shape();
  shape[static_cast<size_t>(part.axis)] = part.stop - part.start;
  HR_ASSIGN(Value * piece, c.expand(c.cast(c.tensor("src"), x->dtype()), shape));
  return replaced(c, x, piece, part);
}

Emitted select_scatter(OpCall& c) {
  HR_ASSIGN(Value * x, c.tensor("self"));
  Part part;
  HR_ASSIGN(part.axis, c.axis("dim", x->rank()));
  HR_ASSIGN(part.start, position(c, x->shape()[static_cast<size_t>(part.axis)]));
  part.stop = part.start + Dim(1);
  HR_ASSIGN(Value * piece, c.unsqueeze(c.cast(c.tensor("src"), x->dtype()), part.axis));
  return replaced(c, x, piece, part);
}

// The diagonal of the last two of dims (dim1, dim2 moved there): by index, over as many as there are.
Emitted diagonal(OpCall& c) {
  HR_ASSIGN(Value * x, c.tensor("self"));
  HR_ASSIGN(const int64_t first, c.axis("dim1", x->rank()));
  HR_ASSIGN(const int64_t second, c.axis("dim2", x->rank()));
  HR_ASSIGN(const int64_t offset, c.integer("offset"));
  std::vector<int64_t> perm = {first, second}, back;
  for (int64_t i = 0; i < x->rank(); ++i) {
    if (i != first && i != second) perm.push_back(i);
  }
  const Dim count = c.shape().back();
  const Emitted rows = c.iota(offset < 0 ? -offset : 0, count),
                columns = c.iota(offset > 0 ? offset : 0, count);
  HR_ASSIGN(Value * picked, c.add("index", {c.transpose(x, std::move(perm)), rows, columns}));
  for (int64_t i = 1; i < picked->rank(); ++i) back.push_back(i);
  back.push_back(0);
  return c.transpose(picked, std::move(back));
}

constexpr Overload kRows[] = {
    {"slice.Tensor(Tensor(a) self, int dim=0, SymInt? start=None, SymInt? end=None, SymInt step=1) "
     "-> Tensor(a)",
     slice},
    {"narrow(Tensor(a) self, int dim, SymInt start, SymInt length) -> Tensor(a)", narrow},
    {"select.int(Tensor(a) self, int dim, SymInt index) -> Tensor(a)", select},
    {"split.Tensor(Tensor(a -> *) self, SymInt split_size, int dim=0) -> Tensor(a)[]", split},
    {"split.sizes(Tensor(a -> *) self, SymInt[] split_size, int dim=0) -> Tensor(a)[]", split},
    {"split_with_sizes(Tensor(a -> *) self, SymInt[] split_sizes, int dim=0) -> Tensor(a)[]", split},
    {"chunk(Tensor(a -> *) self, int chunks, int dim=0) -> Tensor(a)[]", split},
    {"tensor_split.sections(Tensor(a -> *) self, SymInt sections, int dim=0) -> Tensor(a)[]", split},
    {"tensor_split.indices(Tensor(a -> *) self, SymInt[] indices, int dim=0) -> Tensor(a)[]", split},
    {"unbind.int(Tensor(a -> *) self, int dim=0) -> Tensor(a)[]", unbind},
    {"slice_scatter(Tensor self, Tensor src, int dim=0, SymInt? start=None, SymInt? end=None, "
     "SymInt step=1) -> Tensor",
     slice_scatter},
    {"select_scatter(Tensor self, Tensor src, int dim, SymInt index) -> Tensor", select_scatter},
    {"diagonal(Tensor(a) self, int offset=0, int dim1=0, int dim2=1) -> Tensor(a)", diagonal},
};

}  // namespace

std::span<const Overload> slice_overloads() { return kRows; }

}  // namespace headrace::frontend
