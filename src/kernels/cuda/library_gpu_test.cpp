// Products, convolutions and attention as the libraries do them, against plain loops. Skipped without a GPU.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <random>

#include "core/half.h"
#include "device/cuda/test_device.h"
#include "kernels/cuda/libraries.h"
#include "kernels/cuda/step_kernel.h"

namespace headrace::cuda {
namespace {

double read(const std::byte* at, DType dtype) {
  uint16_t half = 0;
  float single = 0;
  std::memcpy(dtype == DType::kF32 ? static_cast<void*>(&single) : &half, at,
              static_cast<size_t>(dtype_size(dtype)));
  return dtype == DType::kF32 ? single : dtype == DType::kF16 ? f16_to_float(half) : bf16_to_float(half);
}
void write(std::byte* at, DType dtype, double value) {
  const auto single = static_cast<float>(value);
  const uint16_t half = dtype == DType::kF16 ? float_to_f16(single) : float_to_bf16(single);
  std::memcpy(at, dtype == DType::kF32 ? static_cast<const void*>(&single) : &half,
              static_cast<size_t>(dtype_size(dtype)));
}
double tolerance(DType dtype) { return dtype == DType::kBF16 ? 0.016 : dtype == DType::kF16 ? 0.002 : 2e-5; }

StepTensor dense(DType dtype, Sizes shape) {
  StepTensor tensor;
  tensor.dtype = dtype;
  tensor.strides = row_major_strides(std::span<const int64_t>(shape));
  tensor.shape = std::move(shape);
  return tensor;
}
// Dim i of the result is dim perm[i] of the tensor.
StepTensor turned(StepTensor tensor, const std::vector<size_t>& perm) {
  StepTensor view = tensor;
  for (size_t i = 0; i < perm.size(); ++i) {
    view.shape[i] = tensor.shape[perm[i]];
    view.strides[i] = tensor.strides[perm[i]];
  }
  return view;
}
StepTensor shifted(StepTensor tensor, int64_t offset) {
  tensor.offset = offset;
  return tensor;
}

// Its shapes are not those that algorithms are timed for, unless tune() says so: timing takes longer than all
// else.
class LibraryStep {
 public:
  LibraryStep(Libraries& libraries, WorkQueue& queue, std::string kernel)
      : libraries_(libraries), queue_(queue) {
    step_.kernel = std::move(kernel);
    step_.label = "the step";
    shapes_.device = &libraries.device();
    shapes_.libraries = &libraries_;
    shapes_.tuning = &tuning_;
    shapes_.step = &step_;
    shapes_.plan = &plan_;
    shapes_.opt = {{"s0", 1}};
  }
  LibraryStep& tune() { return shapes_.opt = shapes_.dims, *this; }
  LibraryStep& set(std::string_view name, Attribute value) {
    return step_.attributes.set(name, std::move(value)), *this;
  }
  LibraryStep& input(std::optional<StepTensor> tensor, BufferKind kind = BufferKind::kArena) {
    if (tensor) add_buffer(*tensor, kind, true);
    shapes_.inputs.push_back(std::move(tensor));
    return *this;
  }
  LibraryStep& output(StepTensor tensor, BufferKind kind = BufferKind::kArena) {
    add_buffer(tensor, kind, false);
    shapes_.outputs.push_back(std::move(tensor));
    return *this;
  }

  Status run() {
    return run_with([&](const auto& enqueue) { return enqueue(); });
  }
  // Captured into a graph, which is then launched.
  Status run_captured() {
    return run_with([&](const auto& enqueue) -> Status {
      HR_TRY(queue_.begin_capture());
      const Status enqueued = enqueue();
      HR_ASSIGN(const std::unique_ptr<WorkGraph> graph, queue_.end_capture());
      HR_TRY(enqueued);
      HR_TRY(queue_.launch(*graph));
      return queue_.synchronize();
    });
  }

  double in(size_t i, const Sizes& at) const { return element(*shapes_.inputs[i], at); }
  const Sizes& in_shape(size_t i) const { return shapes_.inputs[i]->shape; }
  // Broadcast: dims of size 1, and those missing in front, are walked at 0.
  double broadcast(size_t i, const Sizes& at) const {
    const Sizes& shape = in_shape(i);
    Sizes place(at.end() - static_cast<int64_t>(shape.size()), at.end());
    for (size_t d = 0; d < place.size(); ++d)
      if (shape[d] == 1) place[d] = 0;
    return in(i, place);
  }
  bool has(size_t i) const { return i < shapes_.inputs.size() && shapes_.inputs[i].has_value(); }

  void expect(const std::function<double(const Sizes&)>& want, double slack = 1) const {
    const StepTensor& out = shapes_.outputs[0];
    Sizes at(out.shape.size(), 0);
    int wrong = 0;
    for (int64_t left = out.elements(); left > 0; --left) {
      const double expected = want(at), got = element(out, at);
      const double allowed = slack * tolerance(out.dtype) * std::max(std::abs(expected), 1.0);
      if (!(std::abs(expected - got) <= allowed) && ++wrong <= 3)
        ADD_FAILURE() << "at " << to_text(at) << ": " << got << ", not " << expected;
      for (size_t d = at.size(); d-- > 0 && ++at[d] == out.shape[d];) at[d] = 0;
    }
    EXPECT_EQ(wrong, 0);
  }

  Tuning tuning_{{}};

 private:
  template <class Drive>
  Status run_with(const Drive& drive) {
    const CurrentContext current(libraries_.device());
    const std::span<const KernelRow> rows = step_.kernel == "matmul" ? matmul_kernels() : cudnn_kernels();
    std::unique_ptr<StepKernel> kernel;
    for (const KernelRow& row : rows) {
      if (row.name != step_.kernel) continue;
      HR_ASSIGN(kernel, row.make(shapes_));
    }
    if (!kernel) return internal_error("there is no kernel '{}'", step_.kernel);
    HR_ASSIGN(const Allocation workspace, libraries_.device().allocate(kernel->workspace(), "workspace"));
    std::vector<Allocation> memory;
    std::vector<std::byte*> buffers;
    for (const std::vector<std::byte>& host : host_) {
      const Bytes size = {static_cast<int64_t>(host.size())};
      HR_ASSIGN(Allocation block, libraries_.device().allocate(size, "operand"));
      HR_TRY(queue_.copy(block.data(), host.data(), size));
      buffers.push_back(block.data());
      memory.push_back(std::move(block));
    }
    const Addresses at = {.buffers = buffers, .rows = {}, .workspace = workspace.data()};
    HR_TRY(drive([&] { return kernel->enqueue(at, static_cast<CudaQueue&>(queue_).stream()); }));
    for (size_t i = 0; i < host_.size(); ++i)
      HR_TRY(queue_.copy(host_[i].data(), buffers[i], {static_cast<int64_t>(host_[i].size())}));
    return queue_.synchronize();
  }

  void add_buffer(StepTensor& tensor, BufferKind kind, bool fill) {
    int64_t end = tensor.offset + 1;
    for (size_t i = 0; i < tensor.shape.size(); ++i)
      end += (std::max<int64_t>(tensor.shape[i], 1) - 1) * tensor.strides[i];
    tensor.buffer = static_cast<BufferIndex>(host_.size());
    plan_.buffers.push_back({.kind = kind});
    std::vector<std::byte>& bytes = host_.emplace_back(static_cast<size_t>(end * dtype_size(tensor.dtype)));
    std::uniform_real_distribution<double> uniform(-1, 1);
    for (int64_t i = 0; i < end; ++i)
      write(bytes.data() + i * dtype_size(tensor.dtype), tensor.dtype, fill ? uniform(random_) : NAN);
  }
  double element(const StepTensor& tensor, const Sizes& at) const {
    int64_t position = tensor.offset;
    for (size_t d = 0; d < at.size(); ++d) position += at[d] * tensor.strides[d];
    return read(host_[static_cast<size_t>(tensor.buffer)].data() + position * dtype_size(tensor.dtype),
                tensor.dtype);
  }

  Libraries& libraries_;
  WorkQueue& queue_;
  Step step_;
  Plan plan_;
  StepShapes shapes_;
  std::vector<std::vector<std::byte>> host_;
  std::mt19937 random_{7};
};

double apply(const std::string& name, double x) {
  if (name == "relu") return std::max(x, 0.0);
  if (name == "gelu") return 0.5 * x * (1 + std::erf(x / std::sqrt(2.0)));
  if (name == "gelu_tanh") return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
  if (name == "silu") return x / (1 + std::exp(-x));
  if (name == "sigmoid") return 1 / (1 + std::exp(-x));
  if (name == "tanh") return std::tanh(x);
  return x;
}

constexpr DType kFloats[] = {DType::kF16, DType::kBF16, DType::kF32};

class LibraryGpu : public CudaTest {
 protected:
  // All steps of a test share the libraries: opening cuDNN takes its time.
  LibraryStep step(std::string kernel) {
    if (!choices_) choices_ = std::make_shared<TuningChoices>(tuning_place(*device_));
    if (!libraries_) libraries_.emplace(device_, choices_);
    return {*libraries_, *queue_, std::move(kernel)};
  }

  void expect_matmul(LibraryStep& step, const std::string& epilogue = "") {
    step.set("epilogue", epilogue);
    ASSERT_OK(step.run());
    const int64_t k_size = step.in_shape(0).back();
    step.expect(
        [&](const Sizes& at) {
          double sum = step.has(2) ? step.in(2, {at.back()}) : 0;
          for (int64_t k = 0; k < k_size; ++k) {
            Sizes a = at, b = at;
            a.back() = k;
            b.end()[-2] = k;
            sum += step.broadcast(0, a) * step.broadcast(1, b);
          }
          return apply(epilogue, step.has(3) ? sum + step.broadcast(3, at) : sum);
        },
        2 + std::sqrt(static_cast<double>(k_size)) / 4);
  }

  std::shared_ptr<TuningChoices> choices_;
  std::optional<Libraries> libraries_;
};

TEST_F(LibraryGpu, MultipliesInEveryDtypeWithBiasResidualAndEpilogue) {
  for (const DType dtype : kFloats)
    for (const bool bias : {false, true})
      for (const bool residual : {false, true})
        for (const char* epilogue : {"", "relu", "gelu_tanh"}) {
          if (dtype == DType::kF32 && std::string_view(epilogue) == "gelu_tanh") continue;
          for (const Sizes& mkn : {Sizes{64, 128, 96}, Sizes{1, 64, 32}, Sizes{7, 33, 19}, Sizes{5, 1, 1}}) {
            SCOPED_TRACE(std::string(dtype_name(dtype)) + " " + to_text(mkn) + " " + epilogue +
                         (bias ? " bias" : "") + (residual ? " residual" : ""));
            LibraryStep test = step("matmul");
            test.input(dense(dtype, {mkn[0], mkn[1]})).input(dense(dtype, {mkn[1], mkn[2]}));
            test.input(bias ? std::optional(dense(dtype, {mkn[2]})) : std::nullopt);
            test.input(residual ? std::optional(dense(dtype, {mkn[0], mkn[2]})) : std::nullopt);
            test.output(dense(dtype, {mkn[0], mkn[2]}));
            expect_matmul(test, epilogue);
          }
        }
}

TEST_F(LibraryGpu, MultipliesBatchesWhateverTheStrides) {
  for (const DType dtype : kFloats) {
    SCOPED_TRACE(dtype_name(dtype));
    LibraryStep heads = step("matmul");  // [B, S, H, D] seen as [B, H, S, D], times its like turned
    heads.input(turned(dense(dtype, {2, 9, 3, 16}), {0, 2, 1, 3}));
    heads.input(turned(dense(dtype, {2, 11, 3, 16}), {0, 2, 3, 1})).output(dense(dtype, {2, 3, 9, 11}));
    expect_matmul(heads);
    LibraryStep weight = step("matmul");  // a batch of rows, one weight, out of a wider window
    StepTensor window = dense(dtype, {4, 5, 96});
    window.shape.back() = 32;
    weight.input(shifted(window, 32)).input(turned(dense(dtype, {24, 32}), {1, 0}));
    weight.input(dense(dtype, {24})).output(dense(dtype, {4, 5, 24}));
    expect_matmul(weight, "relu");
    LibraryStep turned_out = step("matmul");
    turned_out.input(dense(dtype, {3, 8, 16})).input(dense(dtype, {3, 16, 24}));
    turned_out.output(turned(dense(dtype, {3, 24, 8}), {0, 2, 1}));
    expect_matmul(turned_out);
    LibraryStep unaligned = step("matmul");
    unaligned.input(shifted(dense(dtype, {16, 32}), 1), BufferKind::kInput);
    unaligned.input(shifted(dense(dtype, {32, 16}), 3)).input(shifted(dense(dtype, {16}), 1));
    unaligned.output(shifted(dense(dtype, {16, 16}), 5), BufferKind::kOutput);
    expect_matmul(unaligned);
    LibraryStep nothing = step("matmul");
    nothing.input(dense(dtype, {4, 0})).input(dense(dtype, {0, 6})).input(dense(dtype, {6}));
    nothing.input(dense(dtype, {4, 6})).output(dense(dtype, {4, 6}));
    expect_matmul(nothing);
  }
}

TEST_F(LibraryGpu, MultipliesSixteenBitsIntoF32) {
  for (const DType dtype : {DType::kF16, DType::kBF16})
    for (const Sizes& mkn : {Sizes{64, 128, 96}, Sizes{70, 33, 20}, Sizes{1, 33, 20}, Sizes{5, 0, 7}}) {
      SCOPED_TRACE(std::string(dtype_name(dtype)) + " " + to_text(mkn));
      LibraryStep test = step("matmul");
      test.input(dense(dtype, {mkn[0], mkn[1]})).input(turned(dense(dtype, {mkn[2], mkn[1]}), {1, 0}));
      test.output(dense(DType::kF32, {mkn[0], mkn[2]}));
      test.tune();
      expect_matmul(test);  // as exact as f32 is
    }
}

TEST_F(LibraryGpu, KeepsWhatItTuned) {
  LibraryStep test = step("matmul");
  test.input(dense(DType::kF16, {256, 256})).input(dense(DType::kF16, {256, 256}));
  test.output(dense(DType::kF16, {256, 256}));
  expect_matmul(test);
  EXPECT_EQ(choices_->size(), 0u);
  test.tune();
  expect_matmul(test);
  EXPECT_EQ(choices_->size(), 1u);
  EXPECT_EQ(test.tuning_.report().tuned, 1);
  const int64_t ns = test.tuning_.report().ns;
  expect_matmul(test);
  EXPECT_EQ(choices_->size(), 1u);
  EXPECT_EQ(test.tuning_.report().ns, ns);  // nothing is timed again
}

struct ConvCase {
  const char* name;
  Sizes x, w;  // x: [N, spatial.., C]; w: [O, k.., C/groups]
  int64_t groups = 1, stride = 1, dilation = 1, pad = 0;
};
const ConvCase kConvCases[] = {
    {"3x3", {2, 9, 9, 16}, {32, 3, 3, 16}, 1, 1, 1, 1},
    {"stem", {1, 20, 20, 3}, {16, 7, 7, 3}, 1, 2, 1, 3},
    {"1x1 strided", {2, 8, 8, 32}, {64, 1, 1, 32}, 1, 2, 1, 0},
    {"depthwise", {1, 10, 10, 16}, {16, 3, 3, 1}, 16, 1, 1, 1},
    {"grouped", {1, 8, 8, 32}, {32, 3, 3, 8}, 4, 1, 1, 1},
    {"dilated", {1, 12, 12, 8}, {8, 3, 3, 8}, 1, 1, 2, 2},
    {"odd channels", {1, 6, 6, 5}, {7, 3, 3, 5}, 1, 1, 1, 1},
    {"1-d", {2, 20, 8}, {16, 3, 8}, 1, 1, 1, 1},
    {"3-d", {1, 5, 6, 7, 8}, {16, 3, 3, 3, 8}, 1, 1, 1, 1},
};

// The convolution at [n, spatial.., o]; in(operand, place) gives an element of one that is channels last.
template <class In>
double convolve(const In& in, const ConvCase& test, const Sizes& at) {
  const size_t dims = test.x.size() - 2;
  const int64_t inputs = test.w.back(), outputs = test.w[0] / test.groups;
  int64_t taps = 1;
  for (size_t d = 0; d < dims; ++d) taps *= test.w[d + 1];
  double sum = 0;
  for (int64_t tap = 0; tap < taps; ++tap) {
    Sizes x = at, w(test.w.size());
    w[0] = at.back();
    bool inside = true;
    for (size_t d = dims, left = static_cast<size_t>(tap); d-- > 0;) {
      const auto size = static_cast<size_t>(test.w[d + 1]);
      w[d + 1] = static_cast<int64_t>(left % size);
      left /= size;
      x[d + 1] = at[d + 1] * test.stride - test.pad + w[d + 1] * test.dilation;
      inside = inside && x[d + 1] >= 0 && x[d + 1] < test.x[d + 1];
    }
    for (int64_t c = 0; inside && c < inputs; ++c) {
      x.back() = at.back() / outputs * inputs + c;
      w.back() = c;
      sum += in(0, x) * in(1, w);
    }
  }
  return sum;
}

auto elements_of(const LibraryStep& step) {
  return [&step](size_t operand, const Sizes& at) { return step.in(operand, at); };
}

void describe(LibraryStep& conv, const ConvCase& test, bool channels_last) {
  const size_t dims = test.x.size() - 2;
  conv.set("channels_last", channels_last).set("weight_channels_last", channels_last);
  conv.set("groups", test.groups);
  conv.set("stride", Sizes(dims, test.stride)).set("dilation", Sizes(dims, test.dilation));
  conv.set("pad_low", Sizes(dims, test.pad)).set("pad_high", Sizes(dims, test.pad));
}

// Of the result, channels last.
Sizes result_sizes(const ConvCase& test) {
  Sizes y = test.x;
  for (size_t d = 1; d + 1 < y.size(); ++d)
    y[d] = (test.x[d] + 2 * test.pad - (test.w[d] - 1) * test.dilation - 1) / test.stride + 1;
  y.back() = test.w[0];
  return y;
}

TEST_F(LibraryGpu, ConvolvesInEveryDtypeWithBiasResidualAndEpilogue) {
  for (const DType dtype : kFloats)
    for (const ConvCase& test : kConvCases)
      for (const std::string epilogue : {"plain", "", "relu"}) {
        if (epilogue == "relu" && test.groups > 1) continue;
        SCOPED_TRACE(std::string(dtype_name(dtype)) + " " + test.name + " " + epilogue);
        const bool plain = epilogue == "plain", bias = !plain, residual = epilogue == "relu";
        const Sizes y = result_sizes(test);
        LibraryStep conv = step("conv");
        describe(conv, test, true);
        if (!plain) conv.set("epilogue", epilogue);
        conv.input(dense(dtype, test.x)).input(dense(dtype, test.w));
        conv.input(bias ? std::optional(dense(dtype, {test.w[0]})) : std::nullopt);
        conv.input(residual ? std::optional(dense(dtype, y)) : std::nullopt);
        conv.output(dense(dtype, y));
        ASSERT_OK(conv.run());
        conv.expect(
            [&](const Sizes& at) {
              double sum = convolve(elements_of(conv), test, at);
              if (bias) sum += conv.in(2, {at.back()});
              if (residual) sum += conv.in(3, at);
              return apply(epilogue, sum);
            },
            4);
      }
}

TEST_F(LibraryGpu, ConvolvesPlanesOfF32) {
  const auto planes = [](Sizes sizes) {  // [N, spatial.., C] as [N, C, spatial..]
    std::rotate(sizes.begin() + 1, sizes.end() - 1, sizes.end());
    return sizes;
  };
  for (const ConvCase& test : kConvCases) {
    SCOPED_TRACE(test.name);
    LibraryStep conv = step("conv");
    describe(conv, test, false);
    conv.input(dense(DType::kF32, planes(test.x))).input(dense(DType::kF32, planes(test.w)));
    conv.output(dense(DType::kF32, planes(result_sizes(test))));
    ASSERT_OK(conv.run());
    conv.expect(
        [&](Sizes at) {
          std::rotate(at.begin() + 1, at.begin() + 2, at.end());
          return convolve([&](size_t operand, const Sizes& from) { return conv.in(operand, planes(from)); },
                          test, at);
        },
        4);
  }
}

TEST_F(LibraryGpu, ConvolvesFromAndToUnalignedMemoryOfTheCaller) {
  const ConvCase& test = kConvCases[0];
  LibraryStep conv = step("conv");
  conv.set("channels_last", true).set("weight_channels_last", true);
  conv.set("pad_low", Sizes(2, 1)).set("pad_high", Sizes(2, 1));
  conv.input(shifted(dense(DType::kF16, test.x), 1), BufferKind::kInput).input(dense(DType::kF16, test.w));
  conv.output(shifted(dense(DType::kF16, {2, 9, 9, 32}), 3), BufferKind::kOutput);
  ASSERT_OK(conv.tune().run());
  EXPECT_EQ(choices_->size(), 1u);
  conv.expect([&](const Sizes& at) { return convolve(elements_of(conv), test, at); }, 4);
}

struct AttentionCase {
  const char* name;
  int64_t heads, groups, queries, keys, depth, width;
  bool causal = false;
  std::optional<Sizes> mask;
};

TEST_F(LibraryGpu, AttendsInBothHalvesByGroupsMaskedAndCausal) {
  const AttentionCase cases[] = {
      {"plain", 3, 3, 64, 64, 64, 64},
      {"odd lengths", 2, 2, 37, 53, 32, 32},
      {"causal", 4, 4, 77, 77, 64, 64, true},
      {"causal, more keys", 2, 2, 5, 40, 64, 64, true},
      {"causal, fewer keys", 2, 2, 40, 5, 64, 64, true},
      {"grouped", 8, 2, 33, 33, 128, 128, true},
      {"decode", 8, 2, 1, 50, 128, 128},
      {"narrow", 2, 2, 9, 9, 8, 8},
      {"wider values", 2, 2, 16, 24, 64, 128},
      {"wide", 2, 2, 16, 16, 256, 256},
      {"mask by batch", 2, 2, 24, 32, 64, 64, false, Sizes{2, 1, 24, 32}},
      {"mask of all", 2, 2, 24, 32, 64, 64, false, Sizes{24, 32}},
      {"mask and causal", 2, 2, 24, 32, 64, 64, true, Sizes{2, 2, 24, 32}},
  };
  for (const DType dtype : {DType::kF16, DType::kBF16})
    for (const AttentionCase& test : cases)
      for (const bool heads_inside : {false, true}) {
        SCOPED_TRACE(std::string(dtype_name(dtype)) + " " + test.name +
                     (heads_inside ? " [B, S, H, D]" : ""));
        if (device_->sm() < 90 && test.depth > 128) continue;
        const auto operand = [&](int64_t heads, int64_t rows, int64_t columns) {
          return heads_inside ? turned(dense(dtype, {2, rows, heads, columns}), {0, 2, 1, 3})
                              : dense(dtype, {2, heads, rows, columns});
        };
        LibraryStep attend = step("attention");
        attend.set("scale", 0.3).set("causal", test.causal);
        attend.input(operand(test.heads, test.queries, test.depth));
        attend.input(operand(test.groups, test.keys, test.depth));
        attend.input(operand(test.groups, test.keys, test.width));
        if (test.mask) attend.input(dense(dtype, *test.mask));
        attend.output(operand(test.heads, test.queries, test.width));
        ASSERT_OK(attend.run());
        attend.expect(
            [&](const Sizes& at) {
              const int64_t group = at[1] / (test.heads / test.groups);
              double total = 0, sum = 0;
              for (int64_t j = 0; j < test.keys && (!test.causal || j <= at[2]); ++j) {
                double score = 0;
                for (int64_t d = 0; d < test.depth; ++d)
                  score += attend.in(0, {at[0], at[1], at[2], d}) * attend.in(1, {at[0], group, j, d});
                const double mask = test.mask ? attend.broadcast(3, {at[0], at[1], at[2], j}) : 0;
                const double weight = std::exp(0.3 * score + mask);
                total += weight;
                sum += weight * attend.in(2, {at[0], group, j, at[3]});
              }
              return sum / total;
            },
            2);
      }
}

TEST_F(LibraryGpu, RunsInsideACapturedGraph) {
  LibraryStep attend = step("attention");
  attend.set("scale", 0.1);
  for (int i = 0; i < 3; ++i) attend.input(dense(DType::kF16, {1, 2, 16, 64}));
  attend.output(dense(DType::kF16, {1, 2, 16, 64}));
  ASSERT_OK(attend.tune().run_captured());
  attend.expect(
      [&](const Sizes& at) {
        double total = 0, sum = 0;
        for (int64_t j = 0; j < 16; ++j) {
          double score = 0;
          for (int64_t d = 0; d < 64; ++d)
            score += attend.in(0, {at[0], at[1], at[2], d}) * attend.in(1, {at[0], at[1], j, d});
          total += std::exp(0.1 * score);
          sum += std::exp(0.1 * score) * attend.in(2, {at[0], at[1], j, at[3]});
        }
        return sum / total;
      },
      2);
}

}  // namespace
}  // namespace headrace::cuda
