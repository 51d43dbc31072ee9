// Shapes: lists of Dims (at compile time) or of int64 (at run time).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/dim.h"

namespace headrace {

using Shape = std::vector<Dim>;
using Sizes = std::vector<int64_t>;

Dim element_count(std::span<const Dim> shape);
int64_t element_count(std::span<const int64_t> sizes);
bool is_static(std::span<const Dim> shape);
Result<Sizes> evaluate(std::span<const Dim> shape, const DimBindings& bindings);
Sizes row_major_strides(std::span<const int64_t> sizes);  // in elements
Shape row_major_strides(std::span<const Dim> shape);      // in elements
Shape to_shape(std::span<const int64_t> sizes);
// PyTorch's broadcasting rule. Dims that are neither equal nor 1 are an error.
Result<Shape> broadcast(std::span<const Dim> a, std::span<const Dim> b);
std::string to_text(std::span<const Dim> shape);      // "[1, 128, s0]"
std::string to_text(std::span<const int64_t> sizes);  // "[1, 128, 64]"
// Vectors themselves: an Attribute could hold them too, and would make the call ambiguous.
inline std::string to_text(const Shape& shape) { return to_text(std::span<const Dim>(shape)); }
inline std::string to_text(const Sizes& sizes) { return to_text(std::span<const int64_t>(sizes)); }

}  // namespace headrace
