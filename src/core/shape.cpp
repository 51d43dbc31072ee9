#include "core/shape.h"

#include <algorithm>

#include "core/error.h"

namespace headrace {

Dim element_count(std::span<const Dim> shape) {
  Dim count(1);
  for (const Dim& dim : shape) count = count * dim;
  return count;
}

int64_t element_count(std::span<const int64_t> sizes) {
  int64_t count = 1;
  for (int64_t size : sizes) count *= size;
  return count;
}

bool is_static(std::span<const Dim> shape) {
  return std::all_of(shape.begin(), shape.end(), [](const Dim& dim) { return dim.is_constant(); });
}

Result<Sizes> evaluate(std::span<const Dim> shape, const DimBindings& bindings) {
  Sizes sizes;
  sizes.reserve(shape.size());
  for (const Dim& dim : shape) {
    HR_ASSIGN(const int64_t size, dim.evaluate(bindings));
    sizes.push_back(size);
  }
  return sizes;
}

Sizes row_major_strides(std::span<const int64_t> sizes) {
  Sizes strides(sizes.size());
  int64_t stride = 1;
  for (size_t i = sizes.size(); i-- > 0;) {
    strides[i] = stride;
    stride *= sizes[i];
  }
  return strides;
}

Shape row_major_strides(std::span<const Dim> shape) {
  Shape strides(shape.size());
  Dim stride(1);
  for (size_t i = shape.size(); i-- > 0;) {
    strides[i] = stride;
    stride = stride * shape[i];
  }
  return strides;
}

Shape to_shape(std::span<const int64_t> sizes) { return Shape(sizes.begin(), sizes.end()); }

Result<Shape> broadcast(std::span<const Dim> a, std::span<const Dim> b) {
  if (a.size() < b.size()) std::swap(a, b);
  Shape result(a.begin(), a.end());
  const size_t lead = a.size() - b.size();
  for (size_t i = 0; i < b.size(); ++i) {
    Dim& dim = result[lead + i];
    if (dim == b[i] || b[i] == Dim(1)) continue;
    if (!(dim == Dim(1))) {
      return invalid_argument("shapes {} and {} do not broadcast: {} against {}", to_text(a), to_text(b),
                              dim.text(), b[i].text());
    }
    dim = b[i];
  }
  return result;
}

std::string to_text(std::span<const Dim> shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + shape[i].text();
  return text + "]";
}

std::string to_text(std::span<const int64_t> sizes) {
  std::string text = "[";
  for (size_t i = 0; i < sizes.size(); ++i) text += (i ? ", " : "") + std::to_string(sizes[i]);
  return text + "]";
}

}  // namespace headrace
