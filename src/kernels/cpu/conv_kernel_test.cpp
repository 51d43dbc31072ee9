#include <cmath>

#include "kernels/conv_shape.h"
#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cpu/packing.h"
#include "kernels/cpu/test_step.h"

namespace headrace::cpu {
namespace {

struct Case {
  Sizes x, w;  // [N, C, spatial..]; as the IR's
  AttributeMap attributes;
};

const Case kCases[] = {
    {{1, 3, 9}, {4, 3, 3}, {}},
    {{2, 3, 8, 7},
     {5, 3, 3, 3},
     {{"stride", Sizes{2, 1}}, {"pad_low", Sizes{1, 1}}, {"pad_high", Sizes{1, 1}}}},
    {{1, 16, 12, 12}, {32, 16, 1, 1}, {}},
    {{1, 8, 6, 6},
     {8, 1, 3, 3},
     {{"groups", int64_t{8}}, {"pad_low", Sizes{1, 1}}, {"pad_high", Sizes{1, 1}}}},
    {{1, 6, 7, 5},
     {4, 3, 2, 3},
     {{"groups", int64_t{2}},
      {"dilation", Sizes{2, 1}},
      {"pad_low", Sizes{0, 2}},
      {"pad_high", Sizes{3, 1}}}},
    {{1, 2, 4, 5, 6}, {3, 2, 2, 3, 2}, {{"stride", Sizes{1, 2, 2}}}},
    {{2, 4, 5, 5},
     {4, 3, 3, 3},
     {{"transposed", true},
      {"stride", Sizes{2, 2}},
      {"output_padding", Sizes{1, 1}},
      {"pad_low", Sizes{1, 1}},
      {"pad_high", Sizes{1, 1}}}},
    {{1, 4, 6},
     {4, 2, 3},
     {{"transposed", true}, {"groups", int64_t{2}}, {"stride", Sizes{3}}, {"dilation", Sizes{2}}}},
};

class Convolution {
 public:
  Convolution(const Case& test)
      : shape_(*ConvShape::make(test.attributes, test.x, test.w)), w_strides_(shape_.weight_strides) {
    if (shape_.groups == 1) {
      shape_.weight.insert(shape_.weight.begin(), 1);
      w_strides_.insert(w_strides_.begin(), 0);
    }
  }
  const Sizes& y() const { return shape_.y; }

  // x(place) and w(position in the row-major weight).
  double at(const Sizes& place, const std::function<double(const Sizes&)>& x,
            const std::function<double(int64_t)>& w) const {
    const Sizes kernel(shape_.weight.begin() + 3, shape_.weight.end());
    const int64_t group = place[1] / shape_.weight[1], output = place[1] % shape_.weight[1];
    double sum = 0;
    for_each(kernel, [&](const Sizes& tap) {
      Sizes from = place;
      int64_t weight = group * w_strides_[0] + output * w_strides_[1];
      for (size_t d = 0; d < kernel.size(); ++d) {
        const int64_t reach = tap[d] * (shape_.dilation[d] + 1);
        from[d + 2] = shape_.transposed ? place[d + 2] + shape_.low[d] - reach
                                        : place[d + 2] * shape_.stride[d] - shape_.low[d] + reach;
        if (shape_.transposed && (from[d + 2] < 0 || from[d + 2] % shape_.stride[d])) return;
        if (shape_.transposed) from[d + 2] /= shape_.stride[d];
        if (from[d + 2] < 0 || from[d + 2] >= shape_.x[d + 2]) return;
        weight += tap[d] * w_strides_[d + 3];
      }
      for (int64_t c = 0; c < shape_.weight[2]; ++c) {
        from[1] = group * shape_.weight[2] + c;
        sum += x(from) * w(weight + c * w_strides_[2]);
      }
    });
    return sum;
  }

 private:
  ConvShape shape_;
  Sizes w_strides_;
};

Sizes moved_last(Sizes sizes) {
  std::rotate(sizes.begin() + 1, sizes.begin() + 2, sizes.end());
  return sizes;
}
Sizes moved_first(Sizes sizes) {
  std::rotate(sizes.begin() + 1, sizes.end() - 1, sizes.end());
  return sizes;
}

void set_all(TestStep& step, const AttributeMap& attributes) {
  for (const auto& [name, value] : attributes.entries()) step.set(name, value);
}

enum class WeightForm { kPlain, kPacked };

void check(const Case& test, DType dtype, bool last, WeightForm form, bool windowed) {
  SCOPED_TRACE(fmt::format("{} * {} {} last {} packed {} windowed {}", to_text(test.x), to_text(test.w),
                           dtype_name(dtype), last, form == WeightForm::kPacked, windowed));
  const Convolution conv(test);
  TestStep step(product_kernels(), "conv");
  set_all(step, test.attributes);
  step.set("channels_last", last).set("epilogue", std::string("relu"));
  const auto tensor = [&](const Sizes& sizes) {
    StepTensor made = dense(dtype, last ? moved_last(sizes) : sizes);
    if (!windowed) return made;
    Sizes wide = made.shape;
    wide.back() += 2;
    made.strides = row_major_strides(wide);
    return made;
  };
  step.input(tensor(test.x));
  std::vector<double> weights;
  const int64_t count = element_count(test.w);
  for (int64_t i = 0; i < count; ++i)
    weights.push_back(rounded_to(dtype, std::sin(static_cast<double>(i) * 1.7)));
  if (form == WeightForm::kPlain) {
    step.input(dense(dtype, test.w));
    auto& bytes = step.buffers.back().bytes;
    for (int64_t i = 0; i < count; ++i)
      store_element(dtype, weights[static_cast<size_t>(i)], bytes.data() + i * dtype_size(dtype));
  } else {
    RecipeStep pack;
    pack.op = RecipeOp::kPack;
    pack.dtype = dtype;
    pack.shape = test.w;
    AttributeMap attributes = test.attributes;
    attributes.set("channels_last", last);
    Sizes opt = test.x;
    opt[0] = 4;
    pack.attributes = conv_packing(attributes, opt);
    ASSERT_TRUE(make_packer()->choose(pack).ok());
    const Bytes size = make_packer()->packed_size(pack).value();
    std::vector<std::byte> plain(static_cast<size_t>(count * dtype_size(dtype)));
    for (int64_t i = 0; i < count; ++i)
      store_element(dtype, weights[static_cast<size_t>(i)], plain.data() + i * dtype_size(dtype));
    Weight weight;
    weight.recipe = {pack};
    step.plan.weights = {weight};
    StepTensor packed = dense(DType::kU8, {size.count});
    packed.weight = 0;
    step.input(packed);
    ASSERT_TRUE(make_packer()->pack(pack, plain, step.buffers.back().bytes).ok());
  }
  step.input(dense(dtype, {conv.y()[1]})).input(tensor(conv.y())).output(tensor(conv.y()));
  for (const size_t i : {0, 2, 3}) step.fill_random(i, -1, 1);
  const Status status = step.run(2);
  ASSERT_TRUE(status.ok()) << status.message();
  step.expect(
      0,
      [&](const Sizes& place) {
        const Sizes at = last ? moved_first(place) : place;
        const double sum =
            conv.at(
                at, [&](const Sizes& from) { return step.in(0, last ? moved_last(from) : from); },
                [&](int64_t i) { return weights[static_cast<size_t>(i)]; }) +
            step.in(2, {at[1]}) + step.in(3, place);
        return std::max(sum, 0.0);
      },
      12);
}

TEST(ConvKernel, AgreesWithPlainLoopsOnPlainWeights) {
  for (const Case& test : kCases)
    for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF16, DType::kF64})
      for (const bool last : {false, true}) check(test, dtype, last, WeightForm::kPlain, false);
}

TEST(ConvKernel, AgreesWithPlainLoopsOnPackedWeights) {
  for (const Case& test : kCases)
    for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF16})
      for (const bool last : {false, true}) check(test, dtype, last, WeightForm::kPacked, false);
}

TEST(ConvKernel, TakesWindowsOfWiderTensors) {
  for (const Case& test : kCases)
    for (const DType dtype : {DType::kF32, DType::kF16})
      for (const bool last : {false, true}) check(test, dtype, last, WeightForm::kPacked, true);
}

TEST(ConvKernel, RefusesMalformedSteps) {
  const auto code = [](const Sizes& x, const Sizes& w, const Sizes& y, const AttributeMap& attributes) {
    TestStep step(product_kernels(), "conv");
    set_all(step, attributes);
    return step.input(dense(DType::kF32, x))
        .input(dense(DType::kF32, w))
        .output(dense(DType::kF32, y))
        .run()
        .code();
  };
  EXPECT_EQ(code({1, 3, 8}, {4, 3, 3}, {1, 4, 6}, {}), Code::kOk);
  EXPECT_EQ(code({1, 3, 8}, {4, 3, 3}, {1, 4, 7}, {}), Code::kCorrupt);
  EXPECT_EQ(code({1, 3, 8}, {4, 2, 3}, {1, 4, 6}, {}), Code::kCorrupt);
  EXPECT_EQ(code({1, 3, 8}, {4, 3, 3}, {1, 4, 6}, {{"stride", Sizes{0}}}), Code::kCorrupt);
  EXPECT_EQ(code({1, 3, 8}, {4, 3, 3}, {1, 4, 6}, {{"stride", Sizes{1, 1}}}), Code::kCorrupt);
  EXPECT_EQ(code({1, 3, 8}, {4, 3, 3}, {1, 4, 6}, {{"groups", int64_t{0}}}), Code::kCorrupt);
  EXPECT_EQ(code({3, 8}, {4, 3}, {3, 4}, {}), Code::kCorrupt);
}

}  // namespace
}  // namespace headrace::cpu
