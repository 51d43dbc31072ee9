// TorchApi: PyTorch's tensors as Headrace's and the other way, through PyTorch's Python face alone. Nothing
// is copied.
#pragma once

#include <nanobind/nanobind.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <headrace/dtype.h>
#include <headrace/headrace.h>
#include <headrace/tensor.h>

namespace headrace::python {

// Objects of the torch module, looked up once. Threads: all calls need the GIL.
class TorchApi {
 public:
  // Imports torch. `gpu`: the index of the GPU that the engine runs on; -1: it runs on the CPU.
  explicit TorchApi(int gpu);

  struct Borrowed {
    Tensor tensor;
    bool on_gpu = false;
  };
  // The tensor's own memory, strides included; borrowed, so `object` must outlive it. Throws TypeError where
  // it is no plain tensor, ValueError where it lies on another device; `port` names the input in both.
  Borrowed borrow(nanobind::handle object, const PortInfo& port) const;
  nanobind::object contiguous(nanobind::handle tensor) const;

  // A new tensor on the CPU or the GPU, uninitialised, row-major, from PyTorch's allocator. `shape` is a
  // tuple of ints.
  nanobind::object empty(nanobind::handle shape, DType dtype, bool on_gpu) const;
  // PyTorch's current stream on the GPU. REQUIRES: the engine runs on one.
  std::optional<uintptr_t> current_stream() const;
  std::byte* data(nanobind::handle tensor) const;

 private:
  [[noreturn]] void refuse(nanobind::handle object, const PortInfo& port) const;
  bool is_true(nanobind::handle object, const nanobind::object& attribute) const;
  bool on_our_gpu(nanobind::handle object) const;
  std::vector<int64_t> sizes(PyObject* tuple) const;

  const int gpu_;
  nanobind::object tensor_, empty_, cpu_, cuda_, empty_keywords_, raw_stream_, gpu_index_;
  nanobind::object data_ptr_, dtype_, shape_, stride_, is_cpu_, is_neg_;  // names of attributes
  nanobind::object is_cuda_, get_device_, contiguous_;
  std::array<nanobind::object, kDTypeCount> dtypes_;  // by DType
};

}  // namespace headrace::python
