// TorchApi: PyTorch's tensors as Headrace's and the other way, through PyTorch's Python face alone. Nothing
// is copied.
#pragma once

#include <nanobind/nanobind.h>

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include <headrace/dtype.h>
#include <headrace/headrace.h>
#include <headrace/tensor.h>

namespace headrace::python {

// Objects of the torch module, looked up once. Threads: all calls need the GIL.
class TorchApi {
 public:
  TorchApi();  // imports torch

  // The tensor's own memory, strides included; borrowed, so `object` must outlive it. Throws TypeError where
  // it is no plain tensor, ValueError where it lies on another device; `port` names the input in both.
  Tensor borrow(nanobind::handle object, const PortInfo& port) const;

  // A new tensor on the CPU, uninitialised, row-major, from PyTorch's allocator. `shape` is a tuple of ints.
  nanobind::object empty(nanobind::handle shape, DType dtype) const;
  std::byte* data(nanobind::handle tensor) const;

 private:
  [[noreturn]] void refuse(nanobind::handle object, const PortInfo& port) const;
  std::vector<int64_t> sizes(PyObject* tuple) const;

  nanobind::object tensor_, empty_, cpu_, empty_keywords_;
  nanobind::object data_ptr_, dtype_, shape_, stride_, is_cpu_, is_neg_;  // names of attributes
  std::array<nanobind::object, kDTypeCount> dtypes_;                      // by DType
};

}  // namespace headrace::python
