#include "python/engine.h"

#include <nanobind/stl/string.h>

#include "python/errors.h"
#include "python/interrupts.h"

namespace headrace::python {
namespace {

namespace nb = nanobind;

constexpr size_t kMostKnownShapes = 1024;

std::optional<Bytes> bytes(std::optional<int64_t> count) {
  return count ? std::optional(Bytes{*count}) : std::nullopt;
}

int64_t number_of(nb::handle object, const PortInfo& port) {
  const int64_t number = PyLong_Check(object.ptr()) ? PyLong_AsLongLong(object.ptr()) : 0;
  if (PyErr_Occurred()) throw nb::python_error();
  if (!PyLong_Check(object.ptr())) {
    const auto found = nb::cast<std::string>(nb::str(object.type().attr("__name__")));
    PyErr_SetString(PyExc_TypeError, ("input '" + port.name + "' must be an int, found " + found).c_str());
    throw nb::python_error();
  }
  return number;
}

}  // namespace

PyEngine::Opened PyEngine::open(const std::filesystem::path& path, std::optional<int64_t> weight_budget,
                                int threads, std::optional<int64_t> memory_limit) {
  const auto work = [&]() -> Result<Opened> {
    nb::gil_scoped_release release;
    Result<Engine> engine = Engine::open(path, {bytes(weight_budget), watch_signals()});
    if (!engine.ok()) return engine.status();
    Result<Context> context = engine->context({.threads = threads, .memory_limit = bytes(memory_limit)});
    if (!context.ok()) return context.status();
    context->set_progress(watch_signals());
    return Opened{*std::move(engine), *std::move(context)};
  };
  return unwrap(work());
}

PyEngine::PyEngine(const std::filesystem::path& path, std::optional<int64_t> weight_budget, int threads,
                   std::optional<int64_t> memory_limit)
    : PyEngine(open(path, weight_budget, threads, memory_limit)) {}

PyEngine::PyEngine(Opened opened)
    : engine_(std::move(opened.engine)),
      context_(std::move(opened.context)),
      inputs_(engine_.inputs()),
      outputs_(engine_.outputs()) {}

void PyEngine::read_inputs(nb::handle inputs, std::vector<Tensor>& tensors, std::vector<int64_t>& numbers,
                           std::vector<int64_t>& key) const {
  PyObject** const items = PySequence_Fast_ITEMS(inputs.ptr());
  tensors.reserve(inputs_.size());
  numbers.resize(inputs_.size());  // never grows: tensors point into it
  for (size_t i = 0; i < inputs_.size(); ++i) {
    const PortInfo& port = inputs_[i];
    if (port.is_tensor) {
      tensors.push_back(torch_.borrow(items[i], port));
      key.push_back(static_cast<int64_t>(tensors.back().shape().size()));
      key.insert(key.end(), tensors.back().shape().begin(), tensors.back().shape().end());
    } else if (port.constant.empty()) {
      numbers[i] = number_of(items[i], port);
      key.push_back(numbers[i]);
      tensors.push_back(Tensor::borrow(&numbers[i], DType::kI64, {}));
    } else {
      tensors.emplace_back();
    }
  }
}

const PyEngine::Shapes& PyEngine::shapes_for(const std::vector<Tensor>& tensors,
                                             const std::vector<int64_t>& key) {
  const auto known = known_shapes_.find(key);
  if (known != known_shapes_.end()) return known->second;
  auto found = between_runs([&](Context& context) { return context.output_shapes(tensors); });
  Shapes shapes;
  for (const std::vector<int64_t>& shape : unwrap(std::move(found))) {
    nb::list sizes;
    for (const int64_t size : shape) sizes.append(size);
    shapes.tuples.push_back(nb::tuple(sizes));
    shapes.sizes.push_back(shape);
  }
  if (known_shapes_.size() >= kMostKnownShapes) known_shapes_.clear();
  return known_shapes_[key] = std::move(shapes);
}

nb::tuple PyEngine::run(nb::handle inputs) {
  if (!PyList_Check(inputs.ptr()) && !PyTuple_Check(inputs.ptr())) {
    throw nb::type_error("inputs must be a list or a tuple");
  }
  const auto count = static_cast<size_t>(PySequence_Fast_GET_SIZE(inputs.ptr()));
  if (count != inputs_.size()) {
    throw nb::type_error(("the engine takes " + std::to_string(inputs_.size()) + " inputs, " +
                          std::to_string(count) + " given")
                             .c_str());
  }
  std::vector<Tensor> tensors, results;
  std::vector<int64_t> numbers, key, result_numbers(outputs_.size());
  read_inputs(inputs, tensors, numbers, key);
  const Shapes& shapes = shapes_for(tensors, key);

  nb::object made = nb::steal(PyTuple_New(static_cast<Py_ssize_t>(outputs_.size())));
  results.reserve(outputs_.size());
  for (size_t i = 0; i < outputs_.size(); ++i) {
    const PortInfo& port = outputs_[i];
    nb::object output = nb::none();
    if (port.is_tensor) {
      output = torch_.empty(shapes.tuples[i], port.dtype);
      results.push_back(Tensor::borrow(torch_.data(output), port.dtype, shapes.sizes[i]));
    } else if (port.constant.empty()) {
      results.push_back(Tensor::borrow(&result_numbers[i], DType::kI64, {}));
    } else {
      results.emplace_back();
    }
    PyTuple_SET_ITEM(made.ptr(), static_cast<Py_ssize_t>(i), output.release().ptr());
  }
  check(between_runs([&](Context& context) { return context.run_into(tensors, results); }));
  for (size_t i = 0; i < outputs_.size(); ++i) {
    if (outputs_[i].is_tensor || !outputs_[i].constant.empty()) continue;
    PyTuple_SetItem(made.ptr(), static_cast<Py_ssize_t>(i), PyLong_FromLongLong(result_numbers[i]));
  }
  return nb::borrow<nb::tuple>(made);
}

void PyEngine::set_weight_budget(std::optional<int64_t> budget) {
  const auto work = [&] {
    nb::gil_scoped_release release;
    return engine_.set_weight_budget(bytes(budget));
  };
  check(work());
}

void PyEngine::set_memory_limit(std::optional<int64_t> limit) {
  check(between_runs([&](Context& context) { return context.set_memory_limit(bytes(limit)); }));
}

void PyEngine::write_trace(const std::filesystem::path& path) {
  check(between_runs([&](Context& context) { return context.write_trace(path); }));
}

}  // namespace headrace::python
