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

// "cuda:1" -> 1.
int gpu_index(const std::string& device) {
  return device.starts_with("cuda:") ? std::stoi(device.substr(5)) : -1;
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
                                int threads, std::optional<int64_t> memory_limit, const std::string& device,
                                std::optional<int64_t> host_limit,
                                const std::optional<std::filesystem::path>& model, double tuning_seconds,
                                bool deterministic, const std::optional<Pool>& shared) {
  const auto work = [&]() -> Result<Opened> {
    nb::gil_scoped_release release;
    const auto packed_again = std::make_shared<bool>(false);  // the engine keeps what it is given
    const Progress progress = [packed_again, signals = watch_signals()](const ProgressEvent& event) {
      *packed_again = *packed_again || event.phase == "pack again";
      return signals(event);
    };
    // Under a limit no weight is loaded before the context says how many fit.
    const std::optional<Bytes> first = memory_limit ? std::optional(Bytes{}) : bytes(weight_budget);
    OpenOptions open{first,          progress,     device, bytes(host_limit), model.value_or(""),
                     tuning_seconds, deterministic};
    if (memory_limit) open.tune_within(Bytes{*memory_limit});
    Result<Engine> engine = Engine::open(path, open);
    if (!engine.ok()) return engine.status();
    const ContextOptions options{.threads = threads, .memory_limit = bytes(memory_limit), .pool = shared};
    Result<Context> context = engine->context(options);
    if (!context.ok()) return context.status();
    if (memory_limit) {
      const Status budgeted = engine->set_weight_budget(bytes(weight_budget));
      if (!budgeted.ok()) return budgeted;
    }
    context->set_progress(watch_signals());
    auto pool = std::make_unique<ContextPool>(*engine, options, *std::move(context));
    return Opened{*std::move(engine), std::move(pool), *packed_again};
  };
  return unwrap(work());
}

PyEngine::PyEngine(const std::filesystem::path& path, std::optional<int64_t> weight_budget, int threads,
                   std::optional<int64_t> memory_limit, const std::string& device,
                   std::optional<int64_t> host_limit, const std::optional<std::filesystem::path>& model,
                   double tuning_seconds, bool deterministic, const std::optional<Pool>& pool)
    : PyEngine(open(path, weight_budget, threads, memory_limit, device, host_limit, model, tuning_seconds,
                    deterministic, pool)) {}

PyEngine::PyEngine(Opened opened)
    : engine_(std::move(opened.engine)),
      pool_(std::move(opened.pool)),
      packed_again_(opened.packed_again),
      inputs_(engine_.inputs()),
      outputs_(engine_.outputs()),
      gpu_(gpu_index(engine_.device())),
      torch_(gpu_) {}

void PyEngine::read_inputs(nb::handle inputs, Call& call) const {
  PyObject** const items = PySequence_Fast_ITEMS(inputs.ptr());
  call.tensors.reserve(inputs_.size());
  call.numbers.resize(inputs_.size());  // never grows: tensors point into it
  for (size_t i = 0; i < inputs_.size(); ++i) {
    const PortInfo& port = inputs_[i];
    if (port.is_tensor) {
      TorchApi::Borrowed input = torch_.borrow(items[i], port);
      if (input.on_gpu && !input.tensor.is_row_major()) {
        call.kept.push_back(torch_.contiguous(items[i]));
        input = torch_.borrow(call.kept.back(), port);
      }
      call.on_gpu = call.on_gpu || input.on_gpu;
      const std::vector<int64_t>& shape = input.tensor.shape();
      call.key.push_back(static_cast<int64_t>(shape.size()));
      call.key.insert(call.key.end(), shape.begin(), shape.end());
      call.tensors.push_back(std::move(input.tensor));
    } else if (port.constant.empty()) {
      call.numbers[i] = number_of(items[i], port);
      call.key.push_back(call.numbers[i]);
      call.tensors.push_back(Tensor::borrow(&call.numbers[i], DType::kI64, {}));
    } else {
      call.tensors.emplace_back();
    }
  }
}

std::shared_ptr<const PyEngine::Shapes> PyEngine::shapes_for(const Call& call) {
  const auto known = known_shapes_.find(call.key);
  if (known != known_shapes_.end()) return known->second;
  auto shapes = std::make_shared<Shapes>();
  for (const std::vector<int64_t>& shape : unwrap(pool_->any().output_shapes(call.tensors))) {
    nb::list sizes;
    for (const int64_t size : shape) sizes.append(size);
    shapes->tuples.push_back(nb::tuple(sizes));
    shapes->sizes.push_back(shape);
  }
  if (known_shapes_.size() >= kMostKnownShapes) known_shapes_.clear();
  return known_shapes_[call.key] = std::move(shapes);
}

Status PyEngine::run_call(const Call& call, std::optional<uintptr_t> stream,
                          std::span<const Tensor> results) {
  for (;;) {
    Result<ContextPool::Lease> lease = pool_->take();
    if (!lease.ok()) return lease.status();
    ContextPool::Slot& slot = **lease;
    if (gpu_ >= 0 && stream != slot.stream) {
      Status status =
          slot.context.set_stream(stream ? std::optional(reinterpret_cast<void*>(*stream)) : std::nullopt);
      if (!status.ok()) return status;
      slot.stream = stream;
    }
    Status status = slot.context.run_into(call.tensors, results);
    // Memory that does not suffice for several contexts may do for one.
    if (status.code() == Code::kExhausted && pool_->retire(*std::move(lease))) continue;
    return status;
  }
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
  Call call;
  std::vector<Tensor> results;
  std::vector<int64_t> result_numbers(outputs_.size());
  read_inputs(inputs, call);
  const std::shared_ptr<const Shapes> shapes = shapes_for(call);
  const std::optional<uintptr_t> stream = call.on_gpu ? torch_.current_stream() : std::nullopt;

  nb::object made = nb::steal(PyTuple_New(static_cast<Py_ssize_t>(outputs_.size())));
  results.reserve(outputs_.size());
  for (size_t i = 0; i < outputs_.size(); ++i) {
    const PortInfo& port = outputs_[i];
    nb::object output = nb::none();
    if (port.is_tensor) {
      output = torch_.empty(shapes->tuples[i], port.dtype, call.on_gpu);
      results.push_back(Tensor::borrow(torch_.data(output), port.dtype, shapes->sizes[i]));
    } else if (port.constant.empty()) {
      results.push_back(Tensor::borrow(&result_numbers[i], DType::kI64, {}));
    } else {
      results.emplace_back();
    }
    PyTuple_SET_ITEM(made.ptr(), static_cast<Py_ssize_t>(i), output.release().ptr());
  }
  const auto work = [&] {
    nb::gil_scoped_release release;
    return run_call(call, stream, results);
  };
  check(work());
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
  const auto work = [&] {
    nb::gil_scoped_release release;
    return pool_->set_memory_limit(bytes(limit));
  };
  check(work());
}

void PyEngine::start_trace() {
  nb::gil_scoped_release release;
  pool_->start_trace();
}

void PyEngine::write_trace(const std::filesystem::path& path) {
  const auto work = [&] {
    nb::gil_scoped_release release;
    return pool_->write_trace(path);
  };
  check(work());
}

}  // namespace headrace::python
