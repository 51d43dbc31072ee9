#include "device/device.h"

#include <utility>

#include "core/error.h"

namespace headrace {

Allocation::Allocation(Allocation&& other) noexcept
    : device_(std::exchange(other.device_, nullptr)),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, {})) {}

Allocation& Allocation::operator=(Allocation&& other) noexcept {
  if (this != &other) {
    Allocation dying(std::move(*this));
    device_ = std::exchange(other.device_, nullptr);
    data_ = std::exchange(other.data_, nullptr);
    size_ = std::exchange(other.size_, {});
  }
  return *this;
}

Allocation::~Allocation() {
  if (data_) device_->free_bytes(data_, size_);
}

Result<Allocation> Device::allocate(Bytes size, std::string_view what) {
  constexpr int64_t kPage = kReadAlignment.count;
  if (size.count < 0 || size.count > INT64_MAX - kPage) {
    return invalid_argument("cannot allocate {} bytes for {}", size.count, what);
  }
  Allocation allocation;
  if (size.count == 0) return allocation;
  const Bytes whole = {(size.count + kPage - 1) / kPage * kPage};
  HR_ASSIGN(allocation.data_, allocate_bytes(whole, what));
  allocation.device_ = this;
  allocation.size_ = whole;
  return allocation;
}

}  // namespace headrace
