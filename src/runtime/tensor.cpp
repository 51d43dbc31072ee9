#include <headrace/tensor.h>

#include <cstdlib>
#include <new>
#include <utility>

#include "core/error.h"
#include "core/shape.h"

namespace headrace {
namespace {

constexpr size_t kAlignment = 64;

// Elements of `shape` times `element`, or an error where a size is negative or the product leaves int64.
Result<int64_t> byte_count(const std::vector<int64_t>& shape, int64_t element) {
  int64_t bytes = element;
  bool fits = true;
  for (const int64_t size : shape) {
    if (size < 0) return invalid_argument("a tensor of shape {}: a size is negative", to_text(shape));
    fits = fits && !__builtin_mul_overflow(bytes, size, &bytes);
    if (size == 0) return int64_t{0};
  }
  if (!fits) return exhausted("a tensor of shape {} is larger than any memory", to_text(shape));
  return bytes;
}

}  // namespace

Result<Tensor> Tensor::make(DType dtype, std::vector<int64_t> shape) {
  HR_ASSIGN(const int64_t bytes, byte_count(shape, dtype_size(dtype)));
  // calloc: large zeroed memory comes from the kernel as it is, untouched.
  const size_t room = static_cast<size_t>(bytes) + kAlignment;
  std::shared_ptr<void> owner(std::calloc(1, room), std::free);
  if (!owner) return exhausted("cannot allocate {} bytes for a tensor of shape {}", bytes, to_text(shape));
  void* data = owner.get();
  size_t space = room;
  data = std::align(kAlignment, static_cast<size_t>(bytes), data, space);
  return share(std::move(owner), data, dtype, std::move(shape));
}

Tensor Tensor::borrow(void* data, DType dtype, std::vector<int64_t> shape, std::vector<int64_t> strides) {
  return share(nullptr, data, dtype, std::move(shape), std::move(strides));
}

Tensor Tensor::share(std::shared_ptr<void> owner, void* data, DType dtype, std::vector<int64_t> shape,
                     std::vector<int64_t> strides) {
  Tensor tensor;
  tensor.owner_ = std::move(owner);
  tensor.data_ = static_cast<std::byte*>(data);
  tensor.dtype_ = dtype;
  tensor.strides_ = strides.empty() ? row_major_strides(shape) : std::move(strides);
  tensor.shape_ = std::move(shape);
  return tensor;
}

int64_t Tensor::elements() const { return data_ || !shape_.empty() ? element_count(shape_) : 0; }

Bytes Tensor::size() const { return {elements() * dtype_size(dtype_)}; }

bool Tensor::is_row_major() const {
  if (element_count(shape_) == 0) return true;
  int64_t expected = 1;
  for (size_t i = shape_.size(); i-- > 0;) {
    if (shape_[i] != 1 && strides_[i] != expected) return false;
    expected *= shape_[i];
  }
  return true;
}

}  // namespace headrace
