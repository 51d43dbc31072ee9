// Tensor: typed, strided memory, owned or borrowed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include <headrace/bytes.h>
#include <headrace/dtype.h>
#include <headrace/status.h>

namespace headrace {

// Copies share the memory. Threads: as the memory's user arranges; a Tensor itself is a value.
class Tensor {
 public:
  Tensor() = default;
  // Zeroed memory of its own, row-major. Errors: kExhausted, kInvalidArgument (a negative size).
  static Result<Tensor> make(DType dtype, std::vector<int64_t> shape);
  // Memory of somebody else's, which must outlive every copy. Empty strides: row-major. Strides are in
  // elements.
  static Tensor borrow(void* data, DType dtype, std::vector<int64_t> shape,
                       std::vector<int64_t> strides = {});
  // The same, kept alive by `owner`.
  static Tensor share(std::shared_ptr<void> owner, void* data, DType dtype, std::vector<int64_t> shape,
                      std::vector<int64_t> strides = {});

  std::byte* data() const { return data_; }
  template <class T>
  T* as() const {  // REQUIRES: sizeof(T) is the dtype's size
    return reinterpret_cast<T*>(data_);
  }
  DType dtype() const { return dtype_; }
  const std::vector<int64_t>& shape() const { return shape_; }
  const std::vector<int64_t>& strides() const { return strides_; }  // in elements
  int64_t elements() const;
  Bytes size() const;  // of the elements, without gaps
  bool is_row_major() const;

 private:
  std::shared_ptr<void> owner_;
  std::byte* data_ = nullptr;
  DType dtype_ = DType::kF32;
  std::vector<int64_t> shape_;
  std::vector<int64_t> strides_;
};

}  // namespace headrace
