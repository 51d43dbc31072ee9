// For tests: random plans that verify, and engine files of them.
#pragma once

#include <unistd.h>

#include <filesystem>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "engine/engine_file.h"
#include "engine/plan.h"
#include "engine/sizes.h"

namespace headrace::testing {

// The plan of some lowering that never was: everything that a plan can hold, at random.
class RandomPlan {
 public:
  explicit RandomPlan(uint64_t seed) : random_(seed) {}

  int64_t up_to(int64_t most) { return static_cast<int64_t>(random_() % static_cast<uint64_t>(most + 1)); }
  bool flip() { return up_to(1) == 1; }

  Plan make() {
    plan_.backend = word();
    plan_.fingerprint = word();
    plan_.in_spec = word();
    plan_.out_spec = word();
    for (int64_t i = up_to(3); i-- > 0;) {
      const int64_t min = up_to(4), opt = min + up_to(9);
      plan_.symbols.push_back({"s" + std::to_string(i), min, opt, opt + up_to(1000)});
    }
    for (int64_t i = up_to(2); i-- > 0;)
      plan_.guards.push_back({dim(), dim(), static_cast<Relation>(up_to(5))});
    const int64_t steps = 1 + up_to(6);
    for (int64_t i = up_to(3); i-- > 0;) add_input();
    for (int64_t i = up_to(2); i-- > 0;) add_literal();
    for (int64_t i = up_to(2); i-- > 0;) add_state();
    for (int64_t i = up_to(40); i-- > 0;) plan_.code.push_back(static_cast<std::byte>(random_()));
    for (int64_t i = up_to(6); i-- > 0;) add_weight();
    place_weights();
    const size_t readable = plan_.tensors.size();
    for (int64_t i = 0; i < steps; ++i) add_step(readable, i, i + 1 == steps);
    plan_.outputs.push_back({OutputKind::kNumber, word(), DType::kI64, {}, kNone, dim()});
    plan_.outputs.push_back({OutputKind::kNoneValue, word(), DType::kF32, {}, kNone, Dim(0)});
    return plan_;
  }

  // Bytes for each weight of the plan.
  std::vector<std::vector<std::byte>> weights() {
    std::vector<std::vector<std::byte>> all;
    for (const Weight& weight : plan_.weights) {
      std::vector<std::byte> bytes(static_cast<size_t>(weight.stored.count));
      for (std::byte& byte : bytes) byte = static_cast<std::byte>(random_());
      all.push_back(std::move(bytes));
    }
    return all;
  }

 private:
  std::string word() {
    std::string text;
    for (int64_t i = up_to(12); i-- > 0;) text += static_cast<char>(up_to(255));
    return text;
  }
  DType dtype() { return static_cast<DType>(up_to(kDTypeCount - 1)); }
  Dim dim() {
    Dim value(up_to(20));
    for (const Symbol& symbol : plan_.symbols) {
      const Dim term = Dim::symbol(symbol.name);
      switch (up_to(6)) {
        case 0: value = value + term * Dim(1 + up_to(5)); break;
        case 1: value = Dim::max(value, term); break;
        case 2: value = Dim::floor_div(term + value, Dim(2 + up_to(7))); break;
        case 3: value = Dim::mod(value + term, Dim(2 + up_to(7))); break;
        case 4: value = value * term; break;
        default: break;
      }
    }
    return value;
  }
  Shape shape() {
    Shape dims;
    for (int64_t i = up_to(4); i-- > 0;) dims.push_back(dim());
    return dims;
  }
  Sizes sizes() {
    Sizes all;
    for (int64_t i = up_to(3); i-- > 0;) all.push_back(up_to(9));
    return all;
  }
  static Dim bytes_of(DType dtype, const Shape& shape) {
    return element_count(std::span<const Dim>(shape)) * Dim(dtype_size(dtype));
  }
  Attribute attribute() {
    switch (up_to(8)) {
      case 0: return flip();
      case 1: return static_cast<int64_t>(random_());
      case 2: return flip() ? -0.0 : static_cast<double>(random_()) * 1e-300;
      case 3: return word();
      case 4: return dtype();
      case 5: return dim();
      case 6: return sizes();
      case 7: return std::vector<double>{0.5, -1e300, static_cast<double>(up_to(100))};
      default: return shape();
    }
  }
  AttributeMap attributes() {
    AttributeMap map;
    for (int64_t i = up_to(4); i-- > 0;) map.set(word(), attribute());
    return map;
  }

  BufferIndex add_buffer(BufferKind kind, Dim size, int32_t index) {
    plan_.buffers.push_back({kind, std::move(size), index, kNone, kNone});
    return static_cast<BufferIndex>(plan_.buffers.size() - 1);
  }
  TensorIndex add_tensor(DType type, const Shape& shape, BufferIndex buffer) {
    plan_.tensors.push_back({type, shape, row_major_strides(std::span<const Dim>(shape)), Dim(0), buffer});
    return static_cast<TensorIndex>(plan_.tensors.size() - 1);
  }

  void add_input() {
    InputSpec input;
    input.name = word();
    input.kind = plan_.symbols.empty() ? InputKind::kTensor : static_cast<InputKind>(up_to(2));
    if (input.kind == InputKind::kNumber) input.symbol = plan_.symbols[0].name;
    if (input.kind == InputKind::kConstant) input.constant = word();
    if (input.kind == InputKind::kTensor) {
      input.dtype = dtype();
      input.shape = shape();
      if (flip()) {
        input.buffer = add_buffer(BufferKind::kInput, bytes_of(input.dtype, input.shape),
                                  static_cast<int32_t>(plan_.inputs.size()));
        add_tensor(input.dtype, input.shape, input.buffer);
      }
    }
    plan_.inputs.push_back(std::move(input));
  }
  void add_literal() {
    Literal literal{dtype(), sizes(), {}};
    const Bytes size = *checked_bytes(literal.dtype, literal.shape);
    for (int64_t i = 0; i < size.count; ++i) literal.bytes.push_back(static_cast<std::byte>(random_()));
    const auto buffer =
        add_buffer(BufferKind::kLiteral, size.count, static_cast<int32_t>(plan_.literals.size()));
    add_tensor(literal.dtype, to_shape(literal.shape), buffer);
    plan_.literals.push_back(std::move(literal));
  }
  void add_state() {
    State state{word(), dtype(), shape()};
    const auto buffer = add_buffer(BufferKind::kState, bytes_of(state.dtype, state.shape),
                                   static_cast<int32_t>(plan_.states.size()));
    add_tensor(state.dtype, state.shape, buffer);
    plan_.states.push_back(std::move(state));
  }
  void add_weight() {
    Sizes shape = sizes();
    if (flip()) shape = {1 + up_to(3000)};
    SourceWeight source{word(),  word(), dtype(), shape, row_major_strides(std::span<const int64_t>(shape)),
                        up_to(9)};
    if (flip()) source.mark = StorageMark{Bytes{1 << 20}, static_cast<uint32_t>(random_())};
    Weight weight;
    weight.name = "w" + std::to_string(plan_.weights.size()) + word();
    weight.recipe.push_back(
        {RecipeOp::kSource, {}, static_cast<int>(plan_.sources.size()), source.dtype, shape, {}});
    plan_.sources.push_back(std::move(source));
    if (flip()) weight.recipe.push_back({RecipeOp::kCast, {0}, kNone, dtype(), shape, {}});
    if (flip()) {
      RecipeStep eval{RecipeOp::kEval, {0, kNone}, kNone, dtype(), shape, attributes()};
      eval.attributes.set("kernel", std::string("add"));
      weight.recipe.push_back(std::move(eval));
    }
    weight.dtype = weight.recipe.back().dtype;
    weight.shape = shape;
    weight.stored = *checked_bytes(weight.dtype, shape);
    if (flip()) {
      RecipeStep pack{RecipeOp::kPack, {static_cast<int>(weight.recipe.size() - 1)}, kNone, weight.dtype,
                      shape,           {{"layout", std::string("blocked")}}};
      weight.recipe.push_back(std::move(pack));
      weight.stored = {up_to(9000)};
    } else if (!shape.empty() && flip()) {
      weight.use = WeightUse::kRows;
    }
    weight.resident = weight.stored;
    const auto buffer =
        add_buffer(BufferKind::kWeight, weight.stored.count, static_cast<int32_t>(plan_.weights.size()));
    if (weight.use == WeightUse::kWhole) add_tensor(DType::kU8, {weight.stored.count}, buffer);
    plan_.weights.push_back(std::move(weight));
  }

  // Each weight joins the last group or begins a new one; now and then the one before the last.
  void place_weights() {
    std::vector<bool> closed;
    for (Weight& weight : plan_.weights) {
      const bool alone = weight.use == WeightUse::kRows;
      if (plan_.groups.empty() || alone || closed.back() || flip()) {
        plan_.groups.push_back({Bytes{}, Bytes{}, flip()});
        closed.push_back(alone);
      }
      weight.group = static_cast<int32_t>(plan_.groups.size() - 1);
      if (!alone && weight.group > 0 && !closed[static_cast<size_t>(weight.group) - 1] && flip())
        --weight.group;
      WeightGroup& group = plan_.groups[static_cast<size_t>(weight.group)];
      weight.offset = align_up(group.size, Bytes{64});
      group.size = weight.offset + weight.stored;
    }
    Bytes end;
    for (WeightGroup& group : plan_.groups) {
      group.offset = end;
      end = align_up(end + group.size, kWeightAlignment);
    }
  }

  void add_step(size_t readable, int64_t index, bool last) {
    Step step{"k" + word(), word(), {}, {}, attributes()};
    for (int64_t i = up_to(3); i-- > 0;)
      step.inputs.push_back(readable == 0 || up_to(4) == 0
                                ? kNone
                                : static_cast<TensorIndex>(up_to(static_cast<int64_t>(readable) - 1)));
    const DType type = dtype();
    const Shape dims = shape();
    const auto at = static_cast<StepIndex>(index);
    const auto output = static_cast<int32_t>(plan_.outputs.size());
    const bool arena = flip();
    const auto buffer = add_buffer(arena ? BufferKind::kArena : BufferKind::kOutput, bytes_of(type, dims),
                                   arena ? kNone : output);
    if (arena) plan_.buffers.back().first_step = plan_.buffers.back().last_step = at;
    const TensorIndex tensor = add_tensor(type, dims, buffer);
    step.outputs = {tensor};
    plan_.steps.push_back(std::move(step));
    if (!arena || last) plan_.outputs.push_back({OutputKind::kTensor, word(), type, dims, tensor, Dim(0)});
  }

  std::mt19937_64 random_;
  Plan plan_;
};

// A folder of its own, removed at the end.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "headrace_test_XXXXXX").string();
    path_ = ::mkdtemp(name.data());
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

inline Result<Bytes> write_engine(const std::filesystem::path& path, const Plan& plan,
                                  const std::vector<std::vector<std::byte>>& weights,
                                  std::string_view graph = {}) {
  Result<EngineWriter> writer = EngineWriter::create(path, plan);
  if (!writer.ok()) return writer.status();
  for (const std::vector<std::byte>& bytes : weights) {
    const Status status = writer->append_weight(bytes);
    if (!status.ok()) return status;
  }
  return writer->commit(graph);
}

}  // namespace headrace::testing
