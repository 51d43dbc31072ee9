// Elements picked by tensors of indices.
#include <algorithm>
#include <numeric>

#include "frontend/overload.h"
#include "frontend/promotion.h"

namespace headrace::frontend {
namespace {

using Ints = std::vector<int64_t>;

Emitted embedding(OpCall& c) {
  return c.add("gather", {c.tensor("weight"), c.tensor("indices")}, {{"axis", int64_t{0}}});
}

Emitted index_select(OpCall& c) {
  HR_ASSIGN(Value * x, c.tensor("self"));
  HR_ASSIGN(Value * index, c.tensor("index"));
  if (x->rank() == 0) return x;
  HR_ASSIGN(const int64_t axis, c.axis("dim", x->rank()));
  return c.reshape(c.add("gather", {x, index}, {{"axis", axis}}), c.shape());
}

// The index may be smaller than x in the other dims; the IR's may be, too.
Emitted gather(OpCall& c) {
  HR_ASSIGN(Value * x, c.tensor("self"));
  HR_ASSIGN(Value * index, c.tensor("index"));
  HR_ASSIGN(const int64_t axis, c.axis("dim", x->rank()));
  if (x->rank() == 0 || index->rank() == 0) {
    if (x->rank() == 0) {
      HR_ASSIGN(x, c.unsqueeze(x, 0));
    }
    if (index->rank() == 0) {
      HR_ASSIGN(index, c.unsqueeze(index, 0));
    }
  }
  return c.reshape(c.add("gather_elements", {x, index}, {{"axis", axis}}), c.shape());
}

Emitted take_along_dim(OpCall& c) {
  HR_ASSIGN(Value * x, c.tensor("self"));
  HR_ASSIGN(Value * index, c.tensor("indices"));
  if (!c.has("dim") || x->rank() != index->rank()) return unsupported("dim = None is not supported");
  HR_ASSIGN(const int64_t axis, c.axis("dim", x->rank()));
  Shape data = x->shape(), where = index->shape();
  const auto at = static_cast<size_t>(axis);
  Shape common_data = data, common_where = where;
  common_data[at] = common_where[at] = Dim(1);
  HR_ASSIGN(Shape both, broadcast(std::span<const Dim>(common_data), std::span<const Dim>(common_where)));
  Shape wide_data = both, wide_where = both;
  wide_data[at] = data[at];
  wide_where[at] = where[at];
  return c.add("gather_elements", {c.expand(x, wide_data), c.expand(index, wide_where)}, {{"axis", axis}});
}

struct Indices {
  Ints axes;
  std::vector<Value*> tensors;  // i64
  int64_t rank = 0;             // of all of them broadcast
};

Result<Indices> indices_of(OpCall& c, const Value* x) {
  Indices found;
  const std::vector<Value*> list = c.tensors("indices");
  if (static_cast<int64_t>(list.size()) > x->rank()) return unsupported("more indices than dims");
  for (size_t i = 0; i < list.size(); ++i) {
    if (!list[i]) continue;
    if (list[i]->dtype() == DType::kBool || list[i]->dtype() == DType::kU8)
      return unsupported("a mask as index is not supported: the size of its result depends on its values");
    HR_ASSIGN(Value * index, c.cast(list[i], DType::kI64));
    found.axes.push_back(static_cast<int64_t>(i));
    found.tensors.push_back(index);
    found.rank = std::max(found.rank, index->rank());
  }
  return found;
}

// Where the indexed dims stood side by side, the dims of the index take their place; else they come first.
Emitted index(OpCall& c) {
  HR_ASSIGN(Value * x, c.tensor("self"));
  HR_ASSIGN(const Indices found, indices_of(c, x));
  const Ints& axes = found.axes;
  if (axes.empty()) return x;
  if (axes.size() == 1) return c.add("gather", {x, found.tensors.front()}, {{"axis", axes.front()}});
  Ints perm = axes;
  for (int64_t i = 0; i < x->rank(); ++i) {
    if (std::find(axes.begin(), axes.end(), i) == axes.end()) perm.push_back(i);
  }
  HR_ASSIGN(Value * first, c.transpose(x, std::move(perm)));
  std::vector<Value*> inputs = {first};
  inputs.insert(inputs.end(), found.tensors.begin(), found.tensors.end());
  HR_ASSIGN(Value * picked, c.add_list("index", std::move(inputs)));
  const bool side_by_side = axes.back() - axes.front() + 1 == static_cast<int64_t>(axes.size());
  if (!side_by_side) return picked;
  Ints back;
  for (int64_t i = 0; i < axes.front(); ++i) back.push_back(found.rank + i);
  for (int64_t i = 0; i < found.rank; ++i) back.push_back(i);
  for (int64_t i = found.rank + axes.front(); i < picked->rank(); ++i) back.push_back(i);
  return c.transpose(picked, std::move(back));
}

// x[mask] = number, which is a where.
Emitted index_put(OpCall& c) {
  HR_ASSIGN(Value * x, c.tensor("self"));
  HR_ASSIGN(Value * values, c.tensor("values"));
  const std::vector<Value*> list = c.tensors("indices");
  const bool mask = list.size() == 1 && list.front() && list.front()->dtype() == DType::kBool;
  const bool number = element_count(std::span<const Dim>(values->shape())) == Dim(1);
  if (!mask || !number || c.flag("accumulate")) {
    return unsupported("values put at indices are not supported; one number put where a mask holds is");
  }
  Value* where = list.front();
  Shape shape = where->shape();
  shape.resize(static_cast<size_t>(x->rank()), Dim(1));
  const Emitted one = c.reshape(c.cast(values, x->dtype()), {});
  return c.add("where", {c.reshape(where, shape), one, x});
}

// Rows (dim -2) against columns (dim -1): kept where column - row <= diagonal, or >= it.
Emitted triangle(OpCall& c, std::string_view relation) {
  HR_ASSIGN(Value * x, c.tensor("self"));
  if (x->rank() < 2) return unsupported("a tensor of rank {} is not supported; 2 and more are", x->rank());
  const size_t last = x->shape().size() - 1;
  const Emitted rows = c.unsqueeze(c.iota(0, x->shape()[last - 1]), 1), columns = c.iota(0, x->shape()[last]);
  const Emitted offset = c.number(DType::kI64, c.dim("diagonal"));
  const Emitted kept = c.add(relation, {columns, c.add("add", {rows, offset})});
  return c.add("where", {kept, x, c.literal(x->dtype(), 0)});
}
Emitted tril(OpCall& c) { return triangle(c, "le"); }
Emitted triu(OpCall& c) { return triangle(c, "ge"); }

Emitted one_hot(OpCall& c) {
  HR_ASSIGN(Value * x, c.tensor("self"));
  const Dim classes = c.dim("num_classes");
  if (classes == Dim(-1)) return unsupported("num_classes = -1 is not supported: it depends on values");
  HR_ASSIGN(x, c.unsqueeze(x, x->rank()));
  return c.cast(c.add("eq", {c.cast(x, DType::kI64), c.iota(0, classes)}), DType::kI64);
}

constexpr Overload kRows[] = {
    {"embedding(Tensor weight, Tensor indices, SymInt padding_idx=-1, bool scale_grad_by_freq=False, "
     "bool sparse=False) -> Tensor",
     embedding},
    {"index_select(Tensor self, int dim, Tensor index) -> Tensor", index_select},
    {"gather(Tensor self, int dim, Tensor index, *, bool sparse_grad=False) -> Tensor", gather},
    {"take_along_dim(Tensor self, Tensor indices, int? dim=None) -> Tensor", take_along_dim},
    {"index.Tensor(Tensor self, Tensor?[] indices) -> Tensor", index},
    {"_unsafe_index.Tensor(Tensor self, Tensor?[] indices) -> Tensor", index},
    {"index_put(Tensor self, Tensor?[] indices, Tensor values, bool accumulate=False) -> Tensor", index_put},
    {"tril(Tensor self, SymInt diagonal=0) -> Tensor", tril},
    {"triu(Tensor self, SymInt diagonal=0) -> Tensor", triu},
    {"one_hot(Tensor self, int num_classes=-1) -> Tensor", one_hot},
};

}  // namespace

std::span<const Overload> index_overloads() { return kRows; }

}  // namespace headrace::frontend
