#include "kernels/cuda/aligned_operand.h"

#include "core/error.h"
#include "engine/sizes.h"
#include "kernels/cuda/libraries.h"

namespace headrace::cuda {
namespace {

// Memory of our own is aligned far better than any library asks for.
bool is_callers(BufferKind kind) { return kind == BufferKind::kInput || kind == BufferKind::kOutput; }

Status copy(const Driver& api, std::byte* to, const std::byte* from, Bytes size, CUstream stream) {
  return check(api.cuMemcpyAsync(reinterpret_cast<CUdeviceptr>(to), reinterpret_cast<CUdeviceptr>(from),
                                 static_cast<size_t>(size.count), stream),
               "align an operand");
}

}  // namespace

AlignedOperand::AlignedOperand(const StepTensor& tensor, const Plan& plan, int64_t alignment,
                               Bytes& workspace)
    : tensor_(tensor), alignment_(alignment) {
  const int64_t size = dtype_size(tensor.dtype);
  const int64_t elements = window_end(tensor.shape, tensor.strides, 0).value_or(0);
  span_ = {elements * size};
  whole_ = elements == tensor.elements();
  may_move_ = is_callers(plan.buffers[static_cast<size_t>(tensor.buffer)].kind) ||
              tensor.offset * size % alignment != 0;
  if (!may_move_) return;
  block_ = workspace;
  workspace = workspace + align_up(span_, {kWorkspaceAlignment});
}

Result<std::byte*> AlignedOperand::address(const Addresses& at) const {
  std::byte* address = tensor_.at(at);
  if (!address) return internal_error("an operand has no address");
  return address;
}

bool AlignedOperand::lies_well(const std::byte* address) const {
  return reinterpret_cast<uintptr_t>(address) % static_cast<uintptr_t>(alignment_) == 0;
}

Result<std::byte*> AlignedOperand::load(const Driver& api, const Addresses& at, std::byte* workspace,
                                        CUstream stream) const {
  HR_ASSIGN(std::byte * from, address(at));
  if (lies_well(from)) return from;
  if (!may_move_) return internal_error("an operand in memory of ours is not on {} bytes", alignment_);
  HR_TRY(copy(api, workspace + block_.count, from, span_, stream));
  return workspace + block_.count;
}

Result<std::byte*> AlignedOperand::target(const Addresses& at, std::byte* workspace) const {
  HR_ASSIGN(std::byte * to, address(at));
  if (lies_well(to)) return to;
  if (!may_move_) return internal_error("a result in memory of ours is not on {} bytes", alignment_);
  if (!whole_)
    return invalid_argument(
        "an output is not on {} bytes and has gaps (sizes {}, strides {}); give it "
        "aligned memory",
        alignment_, to_text(tensor_.shape), to_text(tensor_.strides));
  return workspace + block_.count;
}

Status AlignedOperand::store(const Driver& api, const Addresses& at, std::byte* workspace,
                             CUstream stream) const {
  HR_ASSIGN(std::byte * to, address(at));
  return lies_well(to) ? Status() : copy(api, to, workspace + block_.count, span_, stream);
}

std::byte* aligned_workspace(const Addresses& at) {
  const auto past = static_cast<int64_t>(reinterpret_cast<uintptr_t>(at.workspace) % kWorkspaceAlignment);
  return at.workspace + (kWorkspaceAlignment - past) % kWorkspaceAlignment;
}

}  // namespace headrace::cuda
