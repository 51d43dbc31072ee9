#include "python/torch_api.h"

#include <nanobind/stl/string.h>

#include "python/errors.h"

namespace headrace::python {
namespace {

namespace nb = nanobind;

// torch's names, by DType.
constexpr const char* kTorchNames[kDTypeCount] = {"bool",  "uint8",   "int8",     "int16",   "int32",
                                                  "int64", "float16", "bfloat16", "float32", "float64"};

nb::object interned(const char* text) { return nb::steal(PyUnicode_InternFromString(text)); }

nb::object stolen(PyObject* made) {
  if (made == nullptr) throw nb::python_error();
  return nb::steal(made);
}

std::string text_of(nb::handle object) { return nb::cast<std::string>(nb::str(object)); }

[[noreturn]] void throw_type_error(const std::string& message) {
  PyErr_SetString(PyExc_TypeError, message.c_str());
  throw nb::python_error();
}

}  // namespace

TorchApi::TorchApi(int gpu) : gpu_(gpu) {
  const nb::module_ torch = nb::module_::import_("torch");
  tensor_ = torch.attr("Tensor");
  empty_ = torch.attr("empty");
  cpu_ = torch.attr("device")("cpu");
  empty_keywords_ = nb::make_tuple("dtype", "device");
  data_ptr_ = interned("data_ptr");
  dtype_ = interned("dtype");
  shape_ = interned("shape");
  stride_ = interned("stride");
  is_cpu_ = interned("is_cpu");
  is_neg_ = interned("is_neg");
  is_cuda_ = interned("is_cuda");
  get_device_ = interned("get_device");
  contiguous_ = interned("contiguous");
  if (gpu_ >= 0) {
    gpu_index_ = nb::int_(gpu_);
    // PyTorch without CUDA has neither; tensors are then on the CPU alone.
    if (nb::cast<bool>(torch.attr("cuda").attr("is_available")())) {
      cuda_ = torch.attr("device")("cuda", gpu_);
      raw_stream_ = torch.attr("_C").attr("_cuda_getCurrentRawStream");
    }
  }
  for (size_t i = 0; i < dtypes_.size(); ++i) dtypes_[i] = torch.attr(kTorchNames[i]);
}

std::vector<int64_t> TorchApi::sizes(PyObject* tuple) const {
  std::vector<int64_t> result(static_cast<size_t>(PyTuple_GET_SIZE(tuple)));
  for (size_t i = 0; i < result.size(); ++i) {
    result[i] = PyLong_AsLongLong(PyTuple_GET_ITEM(tuple, static_cast<Py_ssize_t>(i)));
  }
  if (PyErr_Occurred()) throw nb::python_error();
  return result;
}

std::byte* TorchApi::data(nb::handle tensor) const {
  const nb::object address = stolen(PyObject_CallMethodNoArgs(tensor.ptr(), data_ptr_.ptr()));
  return static_cast<std::byte*>(PyLong_AsVoidPtr(address.ptr()));
}

bool TorchApi::is_true(nb::handle object, const nb::object& attribute) const {
  return stolen(PyObject_GetAttr(object.ptr(), attribute.ptr())).ptr() == Py_True;
}

bool TorchApi::on_our_gpu(nb::handle object) const {
  if (!raw_stream_.is_valid() || !is_true(object, is_cuda_)) return false;
  const nb::object index = stolen(PyObject_CallMethodNoArgs(object.ptr(), get_device_.ptr()));
  return PyLong_AsLong(index.ptr()) == gpu_;
}

nb::object TorchApi::contiguous(nb::handle tensor) const {
  return stolen(PyObject_CallMethodNoArgs(tensor.ptr(), contiguous_.ptr()));
}

std::optional<uintptr_t> TorchApi::current_stream() const {
  const nb::object stream = stolen(PyObject_CallOneArg(raw_stream_.ptr(), gpu_index_.ptr()));
  return reinterpret_cast<uintptr_t>(PyLong_AsVoidPtr(stream.ptr()));
}

TorchApi::Borrowed TorchApi::borrow(nb::handle object, const PortInfo& port) const {
  const int is_tensor = PyObject_IsInstance(object.ptr(), tensor_.ptr());
  if (is_tensor < 0) throw nb::python_error();
  if (is_tensor == 0) refuse(object, port);
  const bool on_gpu = !is_true(object, is_cpu_);
  if (on_gpu && !on_our_gpu(object)) refuse(object, port);
  const nb::object type = stolen(PyObject_GetAttr(object.ptr(), dtype_.ptr()));
  size_t dtype = 0;
  while (dtype < dtypes_.size() && !dtypes_[dtype].is(type)) ++dtype;
  if (dtype == dtypes_.size()) refuse(object, port);
  if (stolen(PyObject_CallMethodNoArgs(object.ptr(), is_neg_.ptr())).ptr() == Py_True) refuse(object, port);
  const nb::object shape = stolen(PyObject_GetAttr(object.ptr(), shape_.ptr()));
  const nb::object strides = nb::steal(PyObject_CallMethodNoArgs(object.ptr(), stride_.ptr()));
  const nb::object address = nb::steal(PyObject_CallMethodNoArgs(object.ptr(), data_ptr_.ptr()));
  if (!strides.is_valid() || !address.is_valid()) {  // sparse tensors and fake ones have none
    PyErr_Clear();
    refuse(object, port);
  }
  return {Tensor::borrow(PyLong_AsVoidPtr(address.ptr()), static_cast<DType>(dtype), sizes(shape.ptr()),
                         sizes(strides.ptr())),
          on_gpu};
}

void TorchApi::refuse(nb::handle object, const PortInfo& port) const {
  const std::string input = "input '" + port.name + "' ";
  if (!nb::isinstance(object, tensor_)) {
    throw_type_error(input + "must be a torch.Tensor, found " + text_of(object.type().attr("__name__")));
  }
  const std::string device = text_of(object.attr("device"));
  if (device != "cpu" && !(cuda_.is_valid() && text_of(cuda_) == device)) {
    const std::string gpu = "cuda:" + std::to_string(gpu_);
    const std::string ours = gpu_ < 0 ? "the CPU" : gpu, moved = gpu_ < 0 ? ".cpu()" : ".to('" + gpu + "')";
    throw nb::value_error(
        (input + "is on " + device + ", but the engine runs on " + ours + "; pass " + moved + " of it")
            .c_str());
  }
  const std::string layout = text_of(object.attr("layout"));
  if (layout != "torch.strided") {
    throw_type_error(input + "has the layout " + layout + "; pass .to_dense() of it");
  }
  const std::string dtype = text_of(object.attr("dtype"));
  if (nb::cast<bool>(object.attr("is_neg")())) {
    throw_type_error(input + "is a lazily negated view; pass .resolve_neg() of it");
  }
  bool known = false;
  for (const nb::object& type : dtypes_) known = known || type.is(object.attr("dtype"));
  if (known) throw_type_error(input + "has no memory of its own; pass a plain tensor");
  throw_type_error(input + "is " + dtype + ", which engines do not know; it must be " +
                   std::string(dtype_name(port.dtype)));
}

nb::object TorchApi::empty(nb::handle shape, DType dtype, bool on_gpu) const {
  PyObject* arguments[] = {shape.ptr(), dtypes_[static_cast<size_t>(dtype)].ptr(),
                           (on_gpu ? cuda_ : cpu_).ptr()};
  return stolen(PyObject_Vectorcall(empty_.ptr(), arguments, 1, empty_keywords_.ptr()));
}

}  // namespace headrace::python
