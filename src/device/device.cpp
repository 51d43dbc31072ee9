#include "device/device.h"

#include <string>
#include <utility>

#include "core/error.h"

namespace headrace {
namespace {

// An allocation that is replaced where it is too small.
class PlainMemory final : public GrowableMemory {
 public:
  PlainMemory(Device& device, std::string_view what) : device_(device), what_(what) {}
  std::byte* data() const override { return memory_.data(); }
  Bytes size() const override { return memory_.size(); }
  Status resize(Bytes size) override {
    if (size > Bytes{} && size <= memory_.size()) return {};
    memory_ = {};  // before the new one: both at once could pass a limit
    HR_ASSIGN(memory_, device_.allocate(size, what_));
    return {};
  }

 private:
  Device& device_;
  const std::string what_;
  Allocation memory_;
};

}  // namespace

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

std::unique_ptr<GrowableMemory> Device::make_growable(std::string_view what) {
  return std::make_unique<PlainMemory>(*this, what);
}

}  // namespace headrace
