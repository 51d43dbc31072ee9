#include "kernels/cuda/libraries.h"

#include <algorithm>
#include <fstream>

#include "kernels/cuda/generated_args.h"

namespace headrace::cuda {

namespace {

// Grows when problems or choices are written or made otherwise.
constexpr int kTuningFormat = 1;

// "580.65.06": cuDriverGetVersion tells no more than the CUDA version. Empty where nothing tells it.
std::string kernel_driver_version() {
  std::ifstream file("/proc/driver/nvidia/version");
  for (std::string word; file >> word;)
    if (word.find_first_not_of("0123456789.") == word.npos && word.find('.') != word.npos) return word;
  return "";
}

}  // namespace

std::string tuning_place(const CudaDevice& device) {
  int driver = 0;
  (void)device.api().cuDriverGetVersion(&driver);
  std::string place =
      fmt::format("{} sm_{} multiprocessors {} driver {} {} cublasLt {} cudnn {} generated {} format {}",
                  device.name(), device.sm(), device.multiprocessors(), driver, kernel_driver_version(),
                  cublasLtGetVersion(), cudnnGetVersion(), kGeneratedVersion, kTuningFormat);
  std::ranges::replace_if(
      place, [](unsigned char letter) { return letter < ' '; }, ' ');
  return place;
}

Libraries::~Libraries() {
  const CurrentContext current(*device_);
  blas_lt_.reset();
  cudnn_.reset();
}

Result<cublasLtHandle_t> Libraries::blas_lt() {
  const std::lock_guard lock(mutex_);
  if (!blas_lt_) blas_lt_ = open_blas_lt();
  if (!blas_lt_->ok()) return blas_lt_->status();
  return (**blas_lt_).get();
}

Result<CudnnHandle*> Libraries::cudnn() {
  const std::lock_guard lock(mutex_);
  if (!cudnn_) cudnn_ = CudnnHandle::open();
  if (!cudnn_->ok()) return cudnn_->status();
  return (**cudnn_).get();
}

std::shared_ptr<const void> Libraries::find(const std::string& key) {
  const std::lock_guard lock(mutex_);
  const auto found = parts_.find(key);
  return found == parts_.end() ? nullptr : found->second.lock();
}

std::shared_ptr<const void> Libraries::add(const std::string& key, std::shared_ptr<const void> part) {
  const std::lock_guard lock(mutex_);
  std::erase_if(parts_, [](const auto& entry) { return entry.second.expired(); });
  std::weak_ptr<const void>& kept = parts_[key];
  if (std::shared_ptr<const void> other = kept.lock()) return other;  // another thread was faster
  kept = part;
  return part;
}

}  // namespace headrace::cuda
