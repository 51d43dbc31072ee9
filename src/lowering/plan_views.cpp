// Views: tensors that are other readings of a buffer.
#include <algorithm>
#include <utility>

#include "core/error.h"
#include "lowering/plan_builder.h"

namespace headrace {

namespace {

bool is_one(const Dim& dim) { return dim == Dim(1); }

// Row-major but for sizes of 1, whose strides say nothing. The innermost stride is `inner`.
bool is_dense(std::span<const Dim> shape, std::span<const Dim> strides, Dim inner) {
  for (size_t i = shape.size(); i-- > 0;) {
    if (is_one(shape[i])) continue;
    if (!(strides[i] == inner)) return false;
    inner = inner * shape[i];
  }
  return true;
}

// Drops sizes of 1.
void squeeze(Shape& shape, Shape& strides) {
  Shape kept_shape, kept_strides;
  for (size_t i = 0; i < shape.size(); ++i) {
    if (is_one(shape[i])) continue;
    kept_shape.push_back(shape[i]);
    kept_strides.push_back(strides[i]);
  }
  shape = std::move(kept_shape);
  strides = std::move(kept_strides);
}

}  // namespace

bool PlanBuilder::is_row_major(TensorIndex tensor) const {
  return is_dense(at(tensor).shape, at(tensor).strides, 1);
}

TensorIndex PlanBuilder::add_view(TensorIndex base, Shape shape, Shape strides, Dim offset) {
  const DType dtype = at(base).dtype;
  const BufferIndex buffer = at(base).buffer;
  plan_.tensors.push_back({dtype, std::move(shape), std::move(strides), std::move(offset), buffer});
  return static_cast<TensorIndex>(plan_.tensors.size() - 1);
}

// Sizes that agree at the front keep their strides, and so do those that agree at the back; what is between
// must be dense.
std::optional<TensorIndex> PlanBuilder::reshape_view(TensorIndex base, const Shape& shape) {
  const Dim offset = at(base).offset;
  if (is_row_major(base)) return add_view(base, shape, row_major_strides(shape), offset);
  Shape from = at(base).shape, from_strides = at(base).strides;
  squeeze(from, from_strides);
  Shape to = shape, to_strides(shape.size());
  squeeze(to, to_strides);
  size_t front = 0, back = 0;
  const size_t least = std::min(from.size(), to.size());
  while (front < least && from[front] == to[front]) ++front;
  while (back < least - front && from[from.size() - 1 - back] == to[to.size() - 1 - back]) ++back;

  to_strides.assign(to.size(), Dim(1));
  for (size_t i = 0; i < front; ++i) to_strides[i] = from_strides[i];
  for (size_t i = 1; i <= back; ++i) to_strides[to.size() - i] = from_strides[from.size() - i];
  const size_t from_end = from.size() - back, to_end = to.size() - back;
  if (front < to_end) {
    Dim stride = 1;
    if (front < from_end) {
      const size_t count = from_end - front;
      stride = from_strides[from_end - 1];
      if (!is_dense({&from[front], count}, {&from_strides[front], count}, stride)) return std::nullopt;
    }
    for (size_t i = to_end; i-- > front;) {
      to_strides[i] = stride;
      stride = stride * to[i];
    }
  } else if (front < from_end) {
    return std::nullopt;  // symbols whose product is 1: nothing we can prove
  }
  Shape strides(shape.size());
  for (size_t i = 0, kept = 0; i < shape.size(); ++i)
    strides[i] = is_one(shape[i]) ? Dim(1) : to_strides[kept++];
  return add_view(base, shape, std::move(strides), offset);
}

TensorIndex PlanBuilder::transpose_view(TensorIndex base, std::span<const int64_t> perm) {
  Shape shape, strides;
  for (const int64_t axis : perm) {
    shape.push_back(at(base).shape[static_cast<size_t>(axis)]);
    strides.push_back(at(base).strides[static_cast<size_t>(axis)]);
  }
  return add_view(base, std::move(shape), std::move(strides), at(base).offset);
}

TensorIndex PlanBuilder::slice_view(TensorIndex base, int64_t axis, const Dim& start, const Dim& size,
                                    int64_t step) {
  const auto i = static_cast<size_t>(axis);
  Shape shape = at(base).shape, strides = at(base).strides;
  const Dim offset = at(base).offset + start * strides[i];
  shape[i] = size;
  strides[i] = strides[i] * step;
  return add_view(base, std::move(shape), std::move(strides), offset);
}

TensorIndex PlanBuilder::expand_view(TensorIndex base, const Shape& shape) {
  const Shape from = at(base).shape, from_strides = at(base).strides;
  const size_t added = shape.size() - from.size();
  Shape strides(shape.size(), Dim(0));
  for (size_t i = 0; i < from.size(); ++i)
    if (from[i] == shape[added + i]) strides[added + i] = from_strides[i];
  return add_view(base, shape, std::move(strides), at(base).offset);
}

Result<std::vector<TensorIndex>> PlanBuilder::concat_windows(const ir::Node& concat) {
  HR_ASSIGN(const TensorIndex whole, tensor(concat.output()));
  const int64_t axis = concat.attributes().integer("axis");
  std::vector<TensorIndex> windows;
  Dim start = 0;
  for (const ir::Value* input : concat.inputs()) {
    const Dim& size = input->shape()[static_cast<size_t>(axis)];
    windows.push_back(slice_view(whole, axis, start, size));
    start = start + size;
  }
  return windows;
}

Result<bool> PlanBuilder::place_view(const ir::Node& node) {
  const ir::Value* result = node.outputs().empty() ? nullptr : node.output();
  if (!node.is("reshape") && !node.is("transpose") && !node.is("slice") && !node.is("expand")) return false;
  HR_ASSIGN(const TensorIndex base, tensor(node.input(0)));
  const AttributeMap& attributes = node.attributes();
  if (node.is("reshape")) {
    const std::optional<TensorIndex> view = reshape_view(base, result->shape());
    if (!view) return false;
    place(result, *view);
  } else if (node.is("transpose")) {
    place(result, transpose_view(base, attributes.integers("perm")));
  } else if (node.is("slice")) {
    const int64_t axis = attributes.integer("axis");
    place(result, slice_view(base, axis, attributes.get<Dim>("start", 0),
                             result->shape()[static_cast<size_t>(axis)], attributes.integer("step", 1)));
  } else {
    place(result, expand_view(base, result->shape()));
  }
  return true;
}

void PlanBuilder::write_outputs_through_reshapes() {
  for (size_t i = 0; i < graph_.outputs().size(); ++i) {
    const ir::Value* value = graph_.outputs()[i].value;
    if (!value || output_of_.at(value) != static_cast<int32_t>(i)) continue;
    const ir::Value* from = value;
    while (from->producer() && from->producer()->is("reshape")) from = from->producer()->input(0);
    if (from == value || from->kind() != ir::ValueKind::kResult || source_of(*from) == Source::kWeight)
      continue;
    output_of_.try_emplace(from, static_cast<int32_t>(i));
  }
}

}  // namespace headrace
