// Memory that grows at reserved addresses, of the fake queued device.
#include <algorithm>
#include <cstring>
#include <string>

#include "core/error.h"
#include "device/fake/fake_queued_device.h"

namespace headrace::fake {

class FakeRange final : public GrowableMemory {
 public:
  FakeRange(FakeQueuedDevice& device, std::string_view what) : device_(device), what_(what) {}
  ~FakeRange() override {
    shrink({});
    if (!data_) return;
    const std::lock_guard lock(device_.mutex_);
    device_.ranges_.erase(data_);
    device_.memory_.free(data_, reserved_);
  }
  std::byte* data() const override { return data_; }
  Bytes size() const override { return size_; }

  Status resize(Bytes size) override {
    const Bytes unit = device_.growth_unit();
    const Bytes wanted = {(size.count + unit.count - 1) / unit.count * unit.count};
    if (wanted <= size_) {
      shrink(wanted);
      return {};
    }
    HR_TRY(reserve(wanted));
    HR_TRY(device_.count(wanted - size_, what_));
    std::memset(data_ + size_.count, kNew, static_cast<size_t>((wanted - size_).count));
    set_size(wanted);
    return {};
  }

 private:
  static constexpr int kNew = 0xdb;  // a GPU clears nothing

  Status reserve(Bytes least) {
    if (!data_) {
      reserved_ = std::max(device_.options_.memory_limit, least);
      HR_ASSIGN(data_, device_.memory_.allocate(reserved_, {INT64_MAX}, what_));
    }
    if (least <= reserved_) return {};
    return exhausted("cannot allocate {} bytes for {}: the fake device has {}", least.count, what_,
                     reserved_.count);
  }
  // Memory that goes while work still uses it is a fault on a GPU.
  void shrink(Bytes size) {
    if (size == size_) return;
    if (device_.schedule_.pending(data_ + size.count, size_ - size)) {
      (void)device_.mistake(internal_error("{} shrinks under work that is not over", what_));
    }
    device_.used_ -= (size_ - size).count;
    set_size(size);
  }
  void set_size(Bytes size) {
    const std::lock_guard lock(device_.mutex_);
    size_ = size;
    device_.ranges_[data_] = {reserved_, size};
  }

  FakeQueuedDevice& device_;
  const std::string what_;
  std::byte* data_ = nullptr;
  Bytes reserved_, size_;
};

std::unique_ptr<GrowableMemory> FakeQueuedDevice::make_growable(std::string_view what) {
  if (options_.unit == Bytes{}) return Device::make_growable(what);
  return std::make_unique<FakeRange>(*this, what);
}

}  // namespace headrace::fake
