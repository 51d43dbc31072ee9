#include "kernels/cuda/tensor_map.h"

#include <bit>

#include "core/error.h"

namespace headrace::cuda {

Result<TensorMap> describe_boxes(const CudaDevice& device, const BoxedTensor& tensor, const void* data) {
  static_assert(sizeof(TensorMap) == sizeof(CUtensorMap));
  std::array<cuuint64_t, BoxedTensor::kRank> sizes = {}, strides = {};  // of the dimensions after the first
  std::array<cuuint32_t, BoxedTensor::kRank> box = {}, every = {};
  for (size_t d = 0; d < static_cast<size_t>(tensor.rank); ++d) {
    sizes[d] = static_cast<cuuint64_t>(tensor.sizes[d]);
    if (d > 0) strides[d - 1] = static_cast<cuuint64_t>(tensor.strides[d]);
    box[d] = static_cast<cuuint32_t>(tensor.box[d]);
    every[d] = 1;
  }
  CUtensorMap map = {};
  HR_TRY(check(
      device.api().cuTensorMapEncodeTiled(
          &map,
          tensor.dtype == DType::kBF16 ? CU_TENSOR_MAP_DATA_TYPE_BFLOAT16 : CU_TENSOR_MAP_DATA_TYPE_FLOAT16,
          static_cast<cuuint32_t>(tensor.rank), const_cast<void*>(data), sizes.data(), strides.data(),
          box.data(), every.data(), CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
          CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE),
      "describe a tensor for copies of boxes"));
  return std::bit_cast<TensorMap>(map);
}

}  // namespace headrace::cuda
