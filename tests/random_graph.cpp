#include "random_graph.h"

#include <cstring>

namespace headrace::testing {
namespace {

using ir::Value;

// Builds by appending snippets, each of which takes values that are there and adds one of the same shape:
// "tokens" of [2, 4, 8] and "images" of [2, 4, 6, 6], the batch a number or a symbol.
class Maker {
 public:
  explicit Maker(uint32_t seed) : rng_(seed), batch_(seed % 2 ? Dim::symbol("s0") : Dim(2)) {
    if (seed % 2) graph().symbols = {{"s0", 1, 2, 4}};
  }

  RandomGraph make() {
    tokens_ = {input("x", {2, 4, 8}), input("y", {2, 4, 8})};
    images_ = {input("image", {2, 4, 6, 6})};
    const int count = pick(4, 10);
    for (int i = 0; i < count; ++i) add_snippet();
    graph().add_output(tokens_.back(), "tokens");
    graph().add_output(images_.back(), "images");
    graph().add_output(any(tokens_), "other");
    return std::move(result_);
  }

 private:
  ir::Graph& graph() { return result_.graph; }
  int pick(int low, int high) { return std::uniform_int_distribution<int>(low, high)(rng_); }
  Value* any(const std::vector<Value*>& values) {
    return values[static_cast<size_t>(pick(0, static_cast<int>(values.size()) - 1))];
  }

  HostTensor tensor(const Sizes& sizes, float low, float high) {
    const auto count = static_cast<size_t>(element_count(std::span<const int64_t>(sizes)));
    HostTensor made{DType::kF32, sizes, std::vector<std::byte>(count * sizeof(float))};
    std::uniform_real_distribution<float> number(low, high);
    for (size_t i = 0; i < count; ++i) {
      const float value = number(rng_);
      std::memcpy(made.bytes.data() + i * sizeof(float), &value, sizeof(float));
    }
    return made;
  }
  Value* input(const std::string& name, const Sizes& sizes) {
    result_.given[name] = tensor(sizes, -1, 1);
    Shape shape = to_shape(std::span<const int64_t>(sizes));
    shape[0] = batch_;
    return graph().add_input(name, {DType::kF32, shape});
  }
  Value* weight(const Sizes& sizes, float low = -0.5, float high = 0.5) {
    const std::string name = fmt::format("w{}", weights_++);
    result_.given[name] = tensor(sizes, low, high);
    return graph().add_weight(name, {DType::kF32, to_shape(std::span<const int64_t>(sizes))},
                              {name, 0, row_major_strides(std::span<const int64_t>(sizes))});
  }
  Value* number(double value) { return graph().add_scalar<double>("c", DType::kF32, value); }

  // REQUIRES: the op fits; a test that builds a graph wrongly should stop at once.
  Value* op(std::string_view name, std::vector<Value*> inputs, AttributeMap attributes = {}) {
    return graph().add(name, std::move(inputs), std::move(attributes)).value();
  }
  Value* reshape(Value* x, Shape shape) { return op("reshape", {x}, {{"shape", std::move(shape)}}); }
  Value* transpose(Value* x, std::vector<int64_t> perm) {
    return op("transpose", {x}, {{"perm", std::move(perm)}});
  }
  Value* slice(Value* x, int64_t axis, int64_t start, int64_t stop) {
    return op("slice", {x}, {{"axis", axis}, {"start", Dim(start)}, {"stop", Dim(stop)}});
  }

  void add_snippet() {
    Value* (Maker::*const kTokens[])() = {&Maker::unary,      &Maker::binary,       &Maker::scalar_math,
                                          &Maker::linear,     &Maker::moved,        &Maker::sliced,
                                          &Maker::rms_norm,   &Maker::layer_norm,   &Maker::attention,
                                          &Maker::rotary,     &Maker::expanded,     &Maker::activation,
                                          &Maker::cast_there, &Maker::integer_math, &Maker::mlp,
                                          &Maker::parted,     &Maker::length_first, &Maker::rotated_attention,
                                          &Maker::doubled};
    Value* (Maker::*const kImages[])() = {&Maker::conv, &Maker::residual, &Maker::gated, &Maker::joined};
    if (pick(0, 3) != 0) {
      tokens_.push_back((this->*kTokens[pick(0, static_cast<int>(std::size(kTokens)) - 1)])());
    } else {
      images_.push_back((this->*kImages[pick(0, static_cast<int>(std::size(kImages)) - 1)])());
    }
  }

  Value* unary() {
    static constexpr std::string_view kOps[] = {"neg", "tanh", "sigmoid", "relu", "abs", "gelu", "silu"};
    return op(kOps[pick(0, 6)], {any(tokens_)});
  }
  Value* binary() {
    static constexpr std::string_view kOps[] = {"add", "sub", "mul", "maximum"};
    return op(kOps[pick(0, 3)], {any(tokens_), any(tokens_)});
  }
  Value* scalar_math() {
    static constexpr double kNumbers[] = {0, 1, 2, 0.5, -1};
    static constexpr std::string_view kOps[] = {"add", "mul", "sub"};
    Value *x = any(tokens_), *c = number(kNumbers[pick(0, 4)]);
    return pick(0, 1) ? op(kOps[pick(0, 2)], {x, c}) : op("pow", {x, number(2)});
  }
  Value* linear_of(Value* x, int64_t in, int64_t out) {
    const bool turned = pick(0, 1);
    Value* w = weight(turned ? Sizes{out, in} : Sizes{in, out});
    if (pick(0, 1)) return op("matmul", {x, w, weight({out})}, {{"transpose_b", turned}});
    Value* y = op("matmul", {x, w}, {{"transpose_b", turned}});
    return pick(0, 1) ? op("add", {y, weight({out})}) : y;
  }
  Value* linear() {
    Value* y = linear_of(any(tokens_), 8, 8);
    if (pick(0, 1)) y = op("relu", {y});
    if (pick(0, 1)) y = op("add", {any(tokens_), y});
    return pick(0, 1) ? op("tanh", {y}) : y;
  }
  Value* mlp() {
    Value* x = any(tokens_);
    Value* gate = op("silu", {linear_of(x, 8, 12)});
    return op("add", {x, linear_of(op("mul", {gate, linear_of(x, 8, 12)}), 12, 8)});
  }
  Value* moved() {
    Value* x = transpose(reshape(any(tokens_), {batch_, 4, 4, 2}), {0, 2, 1, 3});
    if (pick(0, 1)) x = op("tanh", {x});
    return reshape(transpose(x, {0, 2, 1, 3}), {batch_, 4, 8});
  }
  Value* sliced() {
    Value* x = any(tokens_);
    const int64_t at = pick(1, 7);
    Value *low = slice(x, 2, 0, at), *high = slice(x, 2, at, 8);
    return pick(0, 1) ? op("concat", {low, high}, {{"axis", int64_t{2}}})
                      : op("concat", {high, low}, {{"axis", int64_t{2}}});
  }
  Value* parted() {
    Value* x = transpose(reshape(linear_of(any(tokens_), 8, 24), {batch_, 4, 3, 8}), {2, 0, 1, 3});
    Value *a = slice(x, 0, 0, 1), *b = slice(x, 0, pick(1, 2), 3);
    b = slice(b, 0, 0, 1);
    return op("mul", {reshape(a, {batch_, 4, 8}), reshape(b, {batch_, 4, 8})});
  }
  Value* length_first() {
    Value* x = linear_of(transpose(any(tokens_), {1, 0, 2}), 8, 8);
    x = transpose(reshape(x, {4, batch_ * 2, 4}), {1, 0, 2});
    x = reshape(transpose(reshape(x, {batch_, 2, 4, 4}), {2, 0, 1, 3}), {batch_ * 4, 8});
    return transpose(reshape(linear_of(x, 8, 8), {4, batch_, 8}), {1, 0, 2});
  }
  Value* mean_square(Value* x) {
    return op("reduce", {op("mul", {x, x})},
              {{"kind", std::string("mean")}, {"axes", std::vector<int64_t>{2}}, {"keepdim", true}});
  }
  Value* rms_norm() {
    Value* x = any(tokens_);
    Value* y = op("mul", {x, op("rsqrt", {op("add", {mean_square(x), number(1e-3)})})});
    return pick(0, 1) ? op("mul", {weight({8}), y}) : y;
  }
  Value* layer_norm() {
    Value* x = any(tokens_);
    Value* mean = op("reduce", {x},
                     {{"kind", std::string("mean")}, {"axes", std::vector<int64_t>{2}}, {"keepdim", true}});
    Value* d = op("sub", {x, mean});
    Value* y = op("div", {d, op("sqrt", {op("add", {mean_square(d), number(1e-3)})})});
    if (pick(0, 1)) y = op("mul", {y, weight({8})});
    return pick(0, 1) ? op("add", {y, weight({8})}) : y;
  }
  Value* heads(Value* x, int64_t count) { return transpose(reshape(x, {batch_, 4, count, 4}), {0, 2, 1, 3}); }
  Value* repeated(Value* x) {
    return reshape(op("expand", {reshape(x, {batch_, 1, 1, 4, 4})}, {{"shape", Shape{batch_, 1, 2, 4, 4}}}),
                   {batch_, 2, 4, 4});
  }
  Value* causal_mask() {
    std::vector<std::byte> keep;
    for (int i = 0; i < 4; ++i)
      for (int j = 0; j < 4; ++j) keep.push_back(std::byte(j <= i));
    Value* mask = graph().add_literal("tri", {DType::kBool, {4, 4}}, keep);
    return op("where", {mask, number(0), number(-1e30)});
  }
  Value* attention() {
    Value* x = any(tokens_);
    const bool grouped = pick(0, 1);
    Value* q = heads(linear_of(x, 8, 8), 2);
    Value* k = grouped ? repeated(heads(linear_of(x, 8, 4), 1)) : heads(linear_of(x, 8, 8), 2);
    Value* v = grouped ? repeated(heads(linear_of(x, 8, 4), 1)) : heads(linear_of(x, 8, 8), 2);
    Value* logits = op("mul", {op("matmul", {q, transpose(k, {0, 1, 3, 2})}), number(0.5)});
    if (pick(0, 1)) logits = op("add", {logits, causal_mask()});
    Value* p = op("softmax", {logits}, {{"axis", int64_t{3}}});
    Value* y = reshape(transpose(op("matmul", {p, v}), {0, 2, 1, 3}), {batch_, 4, 8});
    return op("add", {x, linear_of(y, 8, 8)});
  }
  Value* rotary() {
    Value *x = any(tokens_), *cos = weight({4, 8}, -1, 1), *sin = weight({4, 8}, -1, 1);
    Value* half = op("concat", {op("neg", {slice(x, 2, 4, 8)}), slice(x, 2, 0, 4)}, {{"axis", int64_t{2}}});
    return op("add", {op("mul", {x, cos}), op("mul", {half, sin})});
  }
  Value* rotated_attention() {
    Value *x = any(tokens_), *cos = weight({4, 4}, -1, 1), *sin = weight({4, 4}, -1, 1);
    const int64_t groups = pick(1, 2);
    Value* q = op("rotary", {heads(linear_of(x, 8, 8), 2), cos, sin});
    Value* k = op("rotary", {heads(linear_of(x, 8, 4 * groups), groups), cos, pick(0, 3) ? sin : cos});
    Value* v = heads(linear_of(x, 8, 4 * groups), groups);
    Value* y = op("attention", {q, k, v}, {{"scale", 0.5}, {"causal", true}});
    return op("add", {x, reshape(transpose(y, {0, 2, 1, 3}), {batch_, 4, 8})});
  }
  Value* doubled() {
    Value* half = slice(any(tokens_), 2, 0, 4);
    if (pick(0, 1)) half = op("tanh", {half});
    Value* whole = op("concat", {half, half}, {{"axis", int64_t{2}}});
    Value* a = op("sigmoid", {whole});
    Value* b = op("mul", {op("abs", {whole}), pick(0, 1) ? weight({4, 1}) : weight({8})});
    Value* turned = transpose(reshape(a, {batch_, 4, 4, 2}), {0, 1, 3, 2});
    return op("add", {reshape(turned, {batch_, 4, 8}), op("mul", {a, b})});
  }
  Value* expanded() {
    Value* row = op("expand", {weight({1, 8})}, {{"shape", Shape{4, 8}}});
    Value* column = op("expand", {slice(any(tokens_), 2, 0, 1)}, {{"shape", Shape{batch_, 4, 8}}});
    return op("mul", {op("add", {any(tokens_), row}), op("tanh", {column})});
  }
  Value* activation() {
    Value* x = any(tokens_);
    if (pick(0, 1)) return op("mul", {x, op("sigmoid", {x})});
    Value* erf = op("erf", {op("div", {x, number(std::sqrt(2.0))})});
    return op("mul", {op("mul", {x, number(0.5)}), op("add", {erf, number(1)})});
  }
  Value* cast_there() {
    Value* wide = op("cast", {any(tokens_)}, {{"dtype", DType::kF64}});
    return op("cast", {wide}, {{"dtype", DType::kF32}});
  }
  Value* integer_math() {
    Value* range = op("iota", {}, {{"start", Dim(0)}, {"count", Dim(8)}});
    Value* picked = op("gather", {any(tokens_), range}, {{"axis", int64_t{2}}});
    Value* keep = op("ge", {range, graph().add_scalar<int64_t>("n", DType::kI64, pick(0, 4))});
    return op("where", {keep, picked, any(tokens_)});
  }

  AttributeMap window(int64_t pad) {
    const std::vector<int64_t> ones = {1, 1}, pads = {pad, pad};
    return {{"stride", ones}, {"dilation", ones}, {"pad_low", pads}, {"pad_high", pads}};
  }
  Value* conv() {
    const int64_t size = pick(0, 1) ? 3 : 1, groups = pick(0, 1) ? 2 : 1;
    AttributeMap attributes = window(size / 2);
    attributes.set("groups", groups);
    if (pick(0, 3) == 0) attributes.set("transposed", true);
    std::vector<Value*> inputs = {any(images_), weight({4, 4 / groups, size, size})};
    if (pick(0, 1)) inputs.push_back(weight({4}));
    Value* y = op("conv", inputs, attributes);
    if (pick(0, 1))
      y = op("batch_norm", {y, weight({4}), weight({4}), weight({4}), weight({4}, 0.5, 1.5)},
             {{"eps", 1e-3}, {"axis", int64_t{1}}});
    if (pick(0, 1)) y = op("add", {y, any(images_)});
    return pick(0, 1) ? op("relu", {y}) : op("tanh", {y});
  }
  Value* residual() {
    Value* y = op("batch_norm", {any(images_), nullptr, nullptr, weight({4}), weight({4}, 0.5, 1.5)},
                  {{"eps", 1e-3}, {"axis", int64_t{1}}});
    return op("add", {op("tanh", {y}), any(images_)});
  }
  Value* gated() {
    Value* x = any(images_);
    Value* mean =
        op("reduce", {x},
           {{"kind", std::string("mean")}, {"axes", std::vector<int64_t>{2, 3}}, {"keepdim", true}});
    Value* gate = op("sigmoid", {op("conv", {mean, weight({4, 4, 1, 1})}, window(0))});
    return op("mul", {x, gate});
  }
  Value* joined() {
    Value* low = slice(any(images_), 1, 0, 2);
    AttributeMap attributes = window(1);
    attributes.set("kernel", std::vector<int64_t>{3, 3});
    Value* pooled = op("max_pool", {any(images_)}, attributes);
    return op("concat", {low, slice(pooled, 1, 2, 4)}, {{"axis", int64_t{1}}});
  }

  std::mt19937 rng_;
  Dim batch_;  // 2, or a symbol that is bound to 2
  RandomGraph result_;
  std::vector<Value*> tokens_, images_;
  int weights_ = 0;
};

}  // namespace

RandomGraph random_graph(uint32_t seed) { return Maker(seed).make(); }

}  // namespace headrace::testing
