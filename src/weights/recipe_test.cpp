#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>
#include <random>

#include "core/half.h"
#include "weights/cast.h"
#include "weights/memory_reader.h"
#include "weights/strided.h"

namespace headrace {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

template <class T>
std::vector<std::byte> bytes_of(const std::vector<T>& values) {
  const auto bytes = std::as_bytes(std::span(values));
  return {bytes.begin(), bytes.end()};
}
template <class T>
std::vector<T> values_of(const std::vector<std::byte>& bytes) {
  std::vector<T> values(bytes.size() / sizeof(T));
  std::memcpy(values.data(), bytes.data(), values.size() * sizeof(T));
  return values;
}

// 0, 1, 2, … as i32.
std::vector<std::byte> counting(int64_t count) {
  std::vector<int32_t> values(static_cast<size_t>(count));
  std::iota(values.begin(), values.end(), 0);
  return bytes_of(values);
}

// Counts what is read.
class CountingReader : public MemoryReader {
 public:
  using MemoryReader::MemoryReader;
  Status read(const std::string& storage, Bytes offset, std::span<std::byte> out) const override {
    bytes_read += static_cast<int64_t>(out.size());
    largest = std::max(largest, static_cast<int64_t>(out.size()));
    ++reads;
    return MemoryReader::read(storage, offset, out);
  }
  mutable int64_t bytes_read = 0, reads = 0, largest = 0;
};

class Doubler : public Evaluator {
 public:
  Result<HostTensor> evaluate(const RecipeStep& step,
                              std::span<const HostTensor* const> inputs) const override {
    HostTensor result{step.dtype, step.shape, std::vector<std::byte>(inputs[0]->bytes.size())};
    if (shrink) result.bytes.pop_back();
    for (size_t i = 0; i < result.bytes.size() / 4; ++i) {
      int32_t value, other = 0;
      std::memcpy(&value, inputs[0]->bytes.data() + 4 * i, 4);
      if (inputs[1]) std::memcpy(&other, inputs[1]->bytes.data() + 4 * i, 4);
      value = 2 * value + other;
      std::memcpy(result.bytes.data() + 4 * i, &value, 4);
    }
    return result;
  }
  bool shrink = false;
};

class PrefixPacker : public Packer {
 public:
  Result<Bytes> choose(RecipeStep& step) const override { return packed_size(step); }
  Result<Bytes> packed_size(const RecipeStep& step) const override {
    return Bytes{element_count(std::span<const int64_t>(step.shape)) * dtype_size(step.dtype) + 1};
  }
  Status pack(const RecipeStep& step, std::span<const std::byte> in,
              std::span<std::byte> out) const override {
    out[0] = static_cast<std::byte>(step.attributes.text("layout").size());
    std::copy(in.begin(), in.end(), out.begin() + 1);
    return {};
  }
};

RecipeStep step_of(RecipeOp op, std::vector<int> inputs, Sizes shape, AttributeMap attributes = {},
                   DType dtype = DType::kI32) {
  return {op,    std::move(inputs), op == RecipeOp::kSource ? 0 : -1,
          dtype, std::move(shape),  std::move(attributes)};
}

struct Case {
  SourceWeight source{"x", "s", DType::kI32, {4, 6}, {6, 1}, 0};
  Weight weight;
  CountingReader reader{{{"s", counting(24)}}};
  Doubler evaluator;
  PrefixPacker packer;

  explicit Case(Recipe recipe, Bytes more = {}) {
    weight.name = "w";
    weight.recipe = std::move(recipe);
    weight.dtype = weight.recipe.back().dtype;
    weight.shape = weight.recipe.back().shape;
    weight.stored =
        Bytes{element_count(std::span<const int64_t>(weight.shape)) * dtype_size(weight.dtype)} + more;
    weight.resident = weight.stored;
  }
  Status run(std::vector<std::byte>& out) {
    return evaluate_recipe(weight, {&source, 1}, reader, &packer, &evaluator, out);
  }
  std::vector<int32_t> numbers() {
    std::vector<std::byte> out;
    const Status status = run(out);
    EXPECT_TRUE(status.ok()) << status.message();
    return values_of<int32_t>(out);
  }
};

TEST(Recipe, ReadsASourceAsItLies) {
  Case plain({step_of(RecipeOp::kSource, {}, {4, 6})});
  EXPECT_EQ(bytes_of(plain.numbers()), counting(24));
  EXPECT_EQ(plain.reader.reads, 1);
}

TEST(Recipe, ReadsATransposedOffsetAndExpandedSource) {
  Case transposed({step_of(RecipeOp::kSource, {}, {2, 3, 2})});
  transposed.source = {"x", "s", DType::kI32, {2, 3, 2}, {1, 6, 0}, 4};
  EXPECT_THAT(transposed.numbers(), ElementsAre(4, 4, 10, 10, 16, 16, 5, 5, 11, 11, 17, 17));
  EXPECT_LE(transposed.reader.bytes_read, 24 * 4) << "no byte outside the window";
}

TEST(Recipe, ReadsOnlyTheRowsThatAreWanted) {
  Case rows({step_of(RecipeOp::kSource, {}, {4, 6}),
             step_of(RecipeOp::kStrided, {0}, {2, 6},
                     {{"strides", std::vector<int64_t>{6, 1}}, {"offset", int64_t{6}}})});
  EXPECT_THAT(rows.numbers(), ElementsAre(6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17));
  EXPECT_EQ(rows.reader.bytes_read, 12 * 4);
}

TEST(Recipe, SkipsLargeGapsAndReadsSmallOnesAlong) {
  const int64_t columns = 1 << 20;
  Case wide({step_of(RecipeOp::kSource, {}, {4, 20000})});
  wide.source = {"x", "s", DType::kI32, {4, 20000}, {columns, 1}, 5};
  wide.reader = CountingReader({{"s", counting(4 * columns)}});
  const std::vector<int32_t> numbers = wide.numbers();
  for (int64_t i = 0; i < 4; ++i)
    EXPECT_EQ(numbers[static_cast<size_t>(i * 20000 + 7)], i * columns + 12) << i;
  EXPECT_EQ(wide.reader.bytes_read, 4 * 20000 * 4);

  Case narrow({step_of(RecipeOp::kSource, {}, {100, 3})});
  narrow.source = {"x", "s", DType::kI32, {100, 3}, {10, 1}, 0};
  narrow.reader = CountingReader({{"s", counting(1000)}});
  EXPECT_EQ(narrow.numbers()[299], 992);
  EXPECT_EQ(narrow.reader.reads, 1);
}

TEST(Recipe, AgreesWithAPlainLoopOnRandomWindows) {
  std::mt19937_64 random(3);
  const auto up_to = [&](int64_t most) {
    return static_cast<int64_t>(random() % static_cast<uint64_t>(most + 1));
  };
  const int64_t total = 3 << 20;
  const std::vector<std::byte> storage = counting(total);
  for (int round = 0; round < 100; ++round) {
    Sizes shape, strides;
    for (int64_t i = up_to(3); i >= 0; --i) {
      shape.push_back(1 + up_to(12));
      strides.push_back(up_to(2) == 0 ? up_to(60000) : up_to(40));
    }
    Case random_case({step_of(RecipeOp::kSource, {}, shape)});
    random_case.source = {"x", "s", DType::kI32, shape, strides, up_to(1000)};
    random_case.reader = CountingReader({{"s", storage}});
    std::vector<int32_t> expected;
    std::vector<int64_t> at(shape.size(), 0);
    for (bool more = true; more;) {
      expected.push_back(static_cast<int32_t>(
          std::inner_product(at.begin(), at.end(), strides.begin(), random_case.source.offset)));
      more = false;
      for (size_t i = shape.size(); i-- > 0 && !more;) {
        more = ++at[i] < shape[i];
        if (!more) at[i] = 0;
      }
    }
    EXPECT_EQ(random_case.numbers(), expected) << to_text(shape) << to_text(strides);
    EXPECT_LE(random_case.reader.largest, 4 << 20);
  }
}

TEST(Recipe, JoinsAlongEitherAxis) {
  const AttributeMap left = {{"strides", std::vector<int64_t>{6, 1}}, {"offset", int64_t{0}}};
  const AttributeMap right = {{"strides", std::vector<int64_t>{6, 1}}, {"offset", int64_t{5}}};
  Case columns({step_of(RecipeOp::kSource, {}, {4, 6}), step_of(RecipeOp::kStrided, {0}, {2, 2}, left),
                step_of(RecipeOp::kStrided, {0}, {2, 1}, right),
                step_of(RecipeOp::kConcat, {1, 2, 1}, {2, 5}, {{"axis", int64_t{1}}})});
  EXPECT_THAT(columns.numbers(), ElementsAre(0, 1, 5, 0, 1, 6, 7, 11, 6, 7));
  Case rows({step_of(RecipeOp::kSource, {}, {4, 6}), step_of(RecipeOp::kStrided, {0}, {1, 2}, left),
             step_of(RecipeOp::kStrided, {0}, {2, 2}, right),
             step_of(RecipeOp::kConcat, {1, 2}, {3, 2}, {{"axis", int64_t{0}}})});
  EXPECT_THAT(rows.numbers(), ElementsAre(0, 1, 5, 6, 11, 12));
}

TEST(Recipe, EvaluatesWithAbsentAndSharedOperands) {
  Case eval({step_of(RecipeOp::kSource, {}, {4, 6}),
             step_of(RecipeOp::kEval, {0, -1}, {4, 6}, {{"kernel", std::string("double")}}),
             step_of(RecipeOp::kEval, {1, 1}, {4, 6}, {{"kernel", std::string("double")}}),
             step_of(RecipeOp::kStrided, {2}, {2},
                     {{"strides", std::vector<int64_t>{7}}, {"offset", int64_t{1}}})});
  EXPECT_THAT(eval.numbers(), ElementsAre(6, 48));
  Case last({step_of(RecipeOp::kSource, {}, {4, 6}),
             step_of(RecipeOp::kEval, {0, 0}, {4, 6}, {{"kernel", std::string("double")}})});
  EXPECT_EQ(last.numbers()[23], 69);
  last.evaluator.shrink = true;
  std::vector<std::byte> out;
  EXPECT_EQ(last.run(out).code(), Code::kCorrupt);
}

TEST(Recipe, PacksAndChecksThePackedSize) {
  const auto recipe = [] {
    return Recipe{step_of(RecipeOp::kSource, {}, {4, 6}),
                  step_of(RecipeOp::kPack, {0}, {4, 6}, {{"layout", std::string("abc")}})};
  };
  Case pack(recipe(), Bytes{1});
  std::vector<std::byte> out;
  ASSERT_TRUE(pack.run(out).ok());
  EXPECT_EQ(out[0], std::byte{3});
  EXPECT_EQ(std::vector<std::byte>(out.begin() + 1, out.end()), counting(24));
  Case other(recipe(), Bytes{2});
  const Status status = other.run(out);
  EXPECT_EQ(status.code(), Code::kIncompatible);
  EXPECT_EQ(status.message(),
            "weight 'w': layout 'abc' needs 97 bytes here, 98 where it was compiled; compile again");
}

TEST(Recipe, FollowsAVeryLongChain) {
  Recipe recipe = {step_of(RecipeOp::kSource, {}, {4, 6})};
  for (int i = 0; i < 100000; ++i) recipe.push_back(step_of(RecipeOp::kCast, {i}, {4, 6}));
  Case chain(std::move(recipe));
  EXPECT_EQ(bytes_of(chain.numbers()), counting(24));
}

TEST(Recipe, SaysWhatIsWrongWithTheSource) {
  Case missing({step_of(RecipeOp::kSource, {}, {4, 6})});
  missing.source.storage = "t";
  std::vector<std::byte> out;
  Status status = missing.run(out);
  EXPECT_EQ(status.code(), Code::kNotFound);
  EXPECT_EQ(status.message(), "weight 'w': source weight 'x': there is no storage 't'");
  Case shorter({step_of(RecipeOp::kSource, {}, {4, 6})});
  shorter.source.offset = 1;
  status = shorter.run(out);
  EXPECT_EQ(status.code(), Code::kCorrupt);
  EXPECT_EQ(status.message(),
            "weight 'w': source weight 'x': it needs 100 bytes of storage 's', which has 96");
}

TEST(Recipe, RefusesMalformedRecipes) {
  const auto refused = [](Recipe recipe, std::string_view why) {
    Case bad(std::move(recipe));
    std::vector<std::byte> out;
    const Status status = bad.run(out);
    EXPECT_EQ(status.code(), Code::kCorrupt);
    EXPECT_THAT(status.message(), HasSubstr(why));
  };
  const RecipeStep source = step_of(RecipeOp::kSource, {}, {4, 6});
  refused({source, step_of(RecipeOp::kCast, {1}, {4, 6})}, "operand 1 is no earlier step");
  refused({source, step_of(RecipeOp::kCast, {-1}, {4, 6})}, "operand -1 is no earlier step");
  refused({source, step_of(RecipeOp::kCast, {0}, {4, 7})}, "cast from shape [4, 6] to [4, 7]");
  refused({source, step_of(RecipeOp::kStrided, {0}, {2}, {{"strides", std::vector<int64_t>{24}}})},
          "no window");
  refused({source, step_of(RecipeOp::kStrided, {0}, {2}, {{"strides", std::vector<int64_t>{-1}}})},
          "no window");
  refused({source, step_of(RecipeOp::kStrided, {0}, {2}, {})}, "no window");
  refused({source, step_of(RecipeOp::kConcat, {0, 0}, {4, 6}, {{"axis", int64_t{0}}})}, "concat");
  refused({source, step_of(RecipeOp::kConcat, {0}, {4, 6}, {{"axis", int64_t{-1}}})}, "axis -1");
  refused({source, step_of(RecipeOp::kEval, {0}, {4, 6})}, "kernel");
  refused({source, step_of(RecipeOp::kPack, {0}, {4, 6})}, "layout");
  refused({step_of(RecipeOp::kSource, {}, {4, 5})}, "source 'x' is i32[4, 6]");
}

TEST(Recipe, ComesInPiecesOfTheSizeAskedFor) {
  Case large({step_of(RecipeOp::kSource, {}, {1000}), step_of(RecipeOp::kCast, {0}, {1000}, {}, DType::kI64),
              step_of(RecipeOp::kConcat, {1, 1}, {2000}, {{"axis", int64_t{0}}}, DType::kI64)});
  large.source = {"x", "s", DType::kI32, {1000}, {1}, 3};
  large.reader = CountingReader({{"s", counting(1003)}});
  std::vector<int64_t> joined;
  std::vector<size_t> sizes;
  const PieceSink sink = [&](std::vector<std::byte>& piece) {
    sizes.push_back(piece.size());
    for (const int64_t value : values_of<int64_t>(piece)) joined.push_back(value);
    piece = {};
    return Status();
  };
  const Status status = evaluate_recipe_in_pieces(large.weight, {&large.source, 1}, large.reader, nullptr,
                                                  nullptr, Bytes{6000}, sink);
  ASSERT_TRUE(status.ok()) << status.message();
  EXPECT_THAT(sizes, ElementsAre(6000, 6000, 4000));
  ASSERT_EQ(joined.size(), 2000u);
  for (size_t i = 0; i < 2000; ++i) ASSERT_EQ(joined[i], static_cast<int64_t>(i % 1000) + 3);
}

template <class From, class To>
std::vector<To> cast(DType from, const std::vector<From>& values, DType to) {
  std::vector<std::byte> out(values.size() * sizeof(To));
  cast_elements(from, bytes_of(values), to, out);
  return values_of<To>(out);
}

TEST(Cast, TruncatesWrapsAndRoundsAsPyTorchDoes) {
  const float inf = std::numeric_limits<float>::infinity(), nan = std::nanf("");
  EXPECT_THAT((cast<float, int32_t>(DType::kF32, {1.9f, -1.9f, 3e9f, nan}, DType::kI32)),
              ElementsAre(1, -1, static_cast<int32_t>(3000000000u), 0));
  EXPECT_THAT((cast<float, int64_t>(DType::kF32, {inf, -inf, nan, 0.0f}, DType::kI64)),
              ElementsAre(INT64_MIN, INT64_MIN, INT64_MIN, 0));
  EXPECT_THAT((cast<int64_t, uint8_t>(DType::kI64, {-1, 256, 257}, DType::kU8)), ElementsAre(255, 0, 1));
  EXPECT_THAT((cast<int8_t, int16_t>(DType::kI8, {-1, 127}, DType::kI16)), ElementsAre(-1, 127));
  EXPECT_THAT((cast<float, uint8_t>(DType::kF32, {0.0f, -0.0f, 0.1f, nan}, DType::kBool)),
              ElementsAre(0, 0, 1, 1));
  EXPECT_THAT((cast<uint8_t, double>(DType::kBool, {0, 1}, DType::kF64)), ElementsAre(0.0, 1.0));
  EXPECT_THAT((cast<double, float>(DType::kF64, {0.1, 1e300}, DType::kF32)), ElementsAre(0.1f, inf));
  EXPECT_THAT((cast<float, uint16_t>(DType::kF32, {1.0f, 65536.0f}, DType::kF16)),
              ElementsAre(0x3c00, 0x7c00));
  EXPECT_THAT((cast<float, uint16_t>(DType::kF32, {1.0f, 1.00390625f}, DType::kBF16)),
              ElementsAre(0x3f80, 0x3f80));
  EXPECT_THAT((cast<int64_t, uint16_t>(DType::kI64, {2, -3}, DType::kF16)), ElementsAre(0x4000, 0xc200));
}

TEST(Cast, GoesFromEveryTypeToEveryTypeAndBack) {
  for (int from = 0; from < kDTypeCount; ++from) {
    for (int to = 0; to < kDTypeCount; ++to) {
      const auto a = static_cast<DType>(from), b = static_cast<DType>(to);
      const std::vector<std::byte> numbers = bytes_of(std::vector<float>{0, 1, 1, 0});
      std::vector<std::byte> first(4 * static_cast<size_t>(dtype_size(a)));
      std::vector<std::byte> second(4 * static_cast<size_t>(dtype_size(b)));
      std::vector<std::byte> back(16);
      cast_elements(DType::kF32, numbers, a, first);
      cast_elements(a, first, b, second);
      cast_elements(b, second, DType::kF32, back);
      EXPECT_EQ(back, numbers) << dtype_name(a) << " " << dtype_name(b);
    }
  }
}

}  // namespace
}  // namespace headrace
