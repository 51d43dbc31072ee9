#include "kernels/cuda/libraries.h"

namespace headrace::cuda {

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

std::string Libraries::device_key() const { return fmt::format("{} sm_{}", device_->name(), device_->sm()); }

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
