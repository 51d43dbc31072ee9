// TestStep: one step over tensors in memory, made by a row's make() and run, for the tests of this folder.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <random>

#include "core/element.h"
#include "core/error.h"
#include "kernels/cpu/step_kernel.h"

namespace headrace::cpu {

// Memory of a buffer, with guards behind it.
struct TestBuffer {
  std::vector<std::byte> bytes;
  void size_for(const StepTensor& tensor) {
    int64_t last = tensor.offset;
    for (size_t i = 0; i < tensor.shape.size(); ++i)
      last += (std::max<int64_t>(tensor.shape[i], 1) - 1) * tensor.strides[i];
    bytes.resize(std::max(bytes.size(), static_cast<size_t>((last + 1) * dtype_size(tensor.dtype))));
  }
};

// How far a result in `dtype` may be from the exact one, relatively.
inline double tolerance(DType dtype) {
  switch (dtype) {
    case DType::kBF16: return 0.0045;
    case DType::kF16: return 0.0006;
    case DType::kF32: return 3e-6;
    case DType::kF64: return 1e-12;
    default: return 0;
  }
}

// Calls visit(coordinates) for every element of `shape`, in row-major order.
inline void for_each(const Sizes& shape, const std::function<void(const Sizes&)>& visit) {
  Sizes at(shape.size(), 0);
  for (int64_t left = element_count(shape); left > 0; --left) {
    visit(at);
    for (size_t d = shape.size(); d-- > 0 && ++at[d] == shape[d];) at[d] = 0;
  }
}
inline int64_t position(const StepTensor& tensor, const Sizes& at) {
  int64_t position = tensor.offset;
  for (size_t d = 0; d < at.size(); ++d) position += at[d] * tensor.strides[d];
  return position;
}

inline StepTensor dense(DType dtype, Sizes shape) {
  StepTensor tensor;
  tensor.dtype = dtype;
  tensor.strides = row_major_strides(shape);
  tensor.shape = std::move(shape);
  return tensor;
}
// The dims of a row-major tensor in another order: dim i is its dim perm[i].
inline StepTensor permuted(const StepTensor& tensor, const std::vector<int>& perm) {
  StepTensor view = tensor;
  for (size_t i = 0; i < perm.size(); ++i) {
    view.shape[i] = tensor.shape[static_cast<size_t>(perm[i])];
    view.strides[i] = tensor.strides[static_cast<size_t>(perm[i])];
  }
  return view;
}
// A tensor of `shape` laid out with its dims in the order of `perm`, outermost first.
inline StepTensor laid_out(DType dtype, const Sizes& shape, const std::vector<int>& perm) {
  StepTensor tensor = dense(dtype, shape);
  int64_t stride = 1;
  for (size_t i = perm.size(); i-- > 0;) {
    tensor.strides[static_cast<size_t>(perm[i])] = stride;
    stride *= shape[static_cast<size_t>(perm[i])];
  }
  return tensor;
}

class TestStep {
 public:
  TestStep(std::span<const KernelRow> rows, std::string kernel) : rows_(rows) {
    step_.kernel = std::move(kernel);
    step_.label = "the step";
  }
  // With the attributes of the step.
  TestStep& set(std::string_view name, Attribute value) {
    return step_.attributes.set(name, std::move(value)), *this;
  }
  TestStep& input(std::optional<StepTensor> tensor) {
    if (tensor) add_buffer(*tensor);
    shapes_.inputs.push_back(std::move(tensor));
    return *this;
  }
  TestStep& output(StepTensor tensor) {
    add_buffer(tensor);
    shapes_.outputs.push_back(std::move(tensor));
    return *this;
  }
  // Every element of input i by a function of its coordinates.
  TestStep& fill(size_t i, const std::function<double(const Sizes&)>& value) {
    const StepTensor& tensor = *shapes_.inputs[i];
    for_each(tensor.shape,
             [&](const Sizes& at) { store_element(tensor.dtype, value(at), address(tensor, at)); });
    return *this;
  }
  TestStep& fill_random(size_t i, double low, double high, uint32_t seed = 1) {
    std::mt19937 random(seed + static_cast<uint32_t>(i));
    std::uniform_real_distribution<double> uniform(low, high);
    return fill(i, [&](const Sizes&) { return uniform(random); });
  }

  // The kernel that the step's row makes, and where it will run.
  struct Ready {
    std::unique_ptr<StepKernel> kernel;
    std::unique_ptr<std::byte, decltype(&std::free)> workspace = {nullptr, &std::free};
    std::vector<std::byte*> buffers;
    Addresses at;
  };
  Result<Ready> prepare(int threads) {
    shapes_.threads = threads;
    shapes_.step = &step_;
    shapes_.plan = &plan;
    const KernelRow* found = nullptr;
    for (const KernelRow& row : rows_) found = row.name == step_.kernel ? &row : found;
    if (found == nullptr) return internal_error("there is no kernel '{}'", step_.kernel);
    Ready ready;
    HR_ASSIGN(ready.kernel, found->make(shapes_));
    // Whole lines only, so that a sanitizer sees what goes beyond it.
    const auto bytes = static_cast<size_t>(ready.kernel->workspace().count);
    ready.workspace.reset(static_cast<std::byte*>(std::aligned_alloc(64, (bytes + 127) / 64 * 64)));
    for (TestBuffer& buffer : buffers) ready.buffers.push_back(buffer.bytes.data());
    ready.at = {.buffers = ready.buffers, .rows = rows, .workspace = ready.workspace.get()};
    return ready;
  }
  Status run(int threads = 1) {
    HR_ASSIGN(const Ready ready, prepare(threads));
    return ready.kernel->run(ready.at);
  }

  double in(size_t i, const Sizes& at) { return element(*shapes_.inputs[i], at); }
  double out(size_t i, const Sizes& at) { return element(shapes_.outputs[i], at); }
  const StepTensor& output_tensor(size_t i) const { return shapes_.outputs[i]; }
  std::vector<std::byte>& output_bytes(size_t i) {
    return buffers[static_cast<size_t>(shapes_.outputs[i].buffer)].bytes;
  }

  // Compares output i with `expected` within the tolerance of its dtype, times `slack`.
  void expect(size_t i, const std::function<double(const Sizes&)>& expected, double slack = 1,
              double floor = 1) {
    const StepTensor& tensor = shapes_.outputs[i];
    int64_t wrong = 0;
    for_each(tensor.shape, [&](const Sizes& at) {
      const double want = expected(at), got = element(tensor, at);
      const double allowed = slack * tolerance(tensor.dtype) * std::max(std::abs(want), floor);
      const bool same =
          (std::isnan(want) && std::isnan(got)) || want == got || std::abs(want - got) <= allowed;
      if (!same && ++wrong <= 5)
        ADD_FAILURE() << "at " << to_text(std::span<const int64_t>(at)) << ": " << got << ", not " << want;
    });
    EXPECT_EQ(wrong, 0);
  }

  // Whether 1, 2 and 3 threads give the same bytes in every output.
  void expect_same_on_more_threads() {
    ASSERT_TRUE(run(1).ok());
    const std::vector<TestBuffer> once = buffers;
    for (const int threads : {2, 3}) {
      const Status status = run(threads);
      ASSERT_TRUE(status.ok()) << status.message();
      for (size_t b = 0; b < buffers.size(); ++b) EXPECT_EQ(buffers[b].bytes, once[b].bytes);
    }
  }

  Plan plan;
  std::vector<TestBuffer> buffers;
  std::vector<RowSource*> rows;
  StepShapes shapes_;

 private:
  void add_buffer(StepTensor& tensor) {
    tensor.buffer = static_cast<BufferIndex>(buffers.size());
    buffers.emplace_back().size_for(tensor);
  }
  std::byte* address(const StepTensor& tensor, const Sizes& at) {
    return buffers[static_cast<size_t>(tensor.buffer)].bytes.data() +
           position(tensor, at) * dtype_size(tensor.dtype);
  }
  double element(const StepTensor& tensor, const Sizes& at) {
    return load_element(tensor.dtype, address(tensor, at));
  }

  std::span<const KernelRow> rows_;
  Step step_;
};

}  // namespace headrace::cpu
