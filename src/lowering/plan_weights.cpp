// Weight-only subgraphs turned into recipes.
#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "core/error.h"
#include "core/pointwise.h"
#include "lowering/plan_builder.h"

namespace headrace {

struct PlanBuilder::Draft {
  Recipe recipe;
  std::map<const ir::Value*, int> steps;  // by value
  std::vector<std::string> sources;       // names, in the order of first use
  bool joined = false;                    // has a kConcat
  bool computed = false;                  // has a kEval

  int add(const ir::Value& value, RecipeStep step) {
    recipe.push_back(std::move(step));
    return steps[&value] = static_cast<int>(recipe.size() - 1);
  }
};

namespace {

Sizes static_shape(const ir::Value& value) {
  Sizes sizes;
  for (const Dim& dim : value.shape()) sizes.push_back(dim.constant());
  return sizes;
}

RecipeStep make_step(RecipeOp op, const ir::Value& value, std::vector<int> inputs) {
  RecipeStep step;
  step.op = op;
  step.inputs = std::move(inputs);
  step.dtype = value.dtype();
  step.shape = static_shape(value);
  return step;
}

Bytes plain_size(const Weight& weight) {
  return Bytes{element_count(weight.shape) * dtype_size(weight.dtype)};
}

// A program of which only result `index` is left, with the instructions that it needs not.
Result<std::string> one_result(const std::string& text, int index) {
  HR_ASSIGN(PointwiseProgram program, PointwiseProgram::parse(text));
  program.results = {program.results[static_cast<size_t>(index)]};
  return program.text();
}

}  // namespace

int32_t PlanBuilder::add_source(const ir::Value& weight) {
  const ir::WeightSource& from = weight.weight();
  SourceWeight source{weight.name(),        from.storage, weight.dtype(),
                      static_shape(weight), from.strides, from.offset};
  // Tied weights differ in their names alone.
  const std::string key = fmt::format("{} {} {} {} {}", from.offset, dtype_name(source.dtype),
                                      to_text(source.shape), to_text(source.strides), from.storage);
  const auto [found, added] = source_index_.try_emplace(key, static_cast<int32_t>(plan_.sources.size()));
  if (added) plan_.sources.push_back(std::move(source));
  return found->second;
}

// Depth first with a stack of its own: a chain from a file may be long.
Status PlanBuilder::draft_value(const ir::Value& value, Draft& draft) {
  std::vector<const ir::Value*> stack = {&value};
  while (!stack.empty()) {
    const ir::Value* top = stack.back();
    if (draft.steps.contains(top)) {
      stack.pop_back();
      continue;
    }
    bool ready = true;
    if (const ir::Node* node = top->producer())
      for (auto input = node->inputs().rbegin(); input != node->inputs().rend(); ++input)
        if (*input && !draft.steps.contains(*input)) {
          stack.push_back(*input);
          ready = false;
        }
    if (!ready) continue;
    stack.pop_back();
    HR_TRY(draft_node(*top, draft));
  }
  return {};
}

Status PlanBuilder::draft_node(const ir::Value& value, Draft& draft) {
  if (value.kind() == ir::ValueKind::kLiteral) {
    draft_literal(value, draft);
    return {};
  }
  if (value.kind() == ir::ValueKind::kWeight) {
    RecipeStep step = make_step(RecipeOp::kSource, value, {});
    step.source = add_source(value);
    const std::string& name = plan_.sources[static_cast<size_t>(step.source)].name;
    if (std::find(draft.sources.begin(), draft.sources.end(), name) == draft.sources.end())
      draft.sources.push_back(name);
    draft.add(value, std::move(step));
    return {};
  }
  const ir::Node& node = *value.producer();
  if (node.is("cast")) {
    draft.add(value, make_step(RecipeOp::kCast, value, {draft.steps.at(node.input(0))}));
    return {};
  }
  if (node.is("concat")) {
    RecipeStep step = make_step(RecipeOp::kConcat, value, {});
    for (const ir::Value* input : node.inputs()) step.inputs.push_back(draft.steps.at(input));
    step.attributes = {{"axis", node.attributes().integer("axis")}};
    draft.joined = true;
    draft.add(value, std::move(step));
    return {};
  }
  if (draft_strided(value, draft)) return {};
  return draft_eval(value, draft);
}

bool PlanBuilder::draft_strided(const ir::Value& value, Draft& draft) {
  const ir::Node& node = *value.producer();
  const AttributeMap& attributes = node.attributes();
  const Sizes shape = static_shape(value);
  Sizes strides(shape.size(), 0);
  int64_t offset = 0;
  if (node.is("reshape")) {
    strides = row_major_strides(std::span<const int64_t>(shape));
  } else if (node.is("transpose") || node.is("slice") || node.is("expand")) {
    const Sizes from = static_shape(*node.input(0));
    const Sizes from_strides = row_major_strides(std::span<const int64_t>(from));
    if (node.is("transpose")) {
      const std::vector<int64_t> perm = attributes.integers("perm");
      for (size_t i = 0; i < perm.size(); ++i) strides[i] = from_strides[static_cast<size_t>(perm[i])];
    } else if (node.is("slice")) {
      const Dim start = attributes.get<Dim>("start", 0);
      if (!start.is_constant()) return false;
      const auto axis = static_cast<size_t>(attributes.integer("axis"));
      strides = from_strides;
      offset = start.constant() * strides[axis];
      strides[axis] *= attributes.integer("step", 1);
    } else {
      const size_t added = shape.size() - from.size();
      for (size_t i = 0; i < from.size(); ++i)
        if (from[i] == shape[added + i]) strides[added + i] = from_strides[i];
    }
  } else {
    return false;
  }
  RecipeStep step = make_step(RecipeOp::kStrided, value, {draft.steps.at(node.input(0))});
  step.attributes = {{"strides", strides}, {"offset", offset}};
  draft.add(value, std::move(step));
  return true;
}

// A literal inside a recipe: an op without inputs, which only the evaluator knows.
void PlanBuilder::draft_literal(const ir::Value& value, Draft& draft) {
  RecipeStep step = make_step(RecipeOp::kEval, value, {});
  step.attributes.set("kernel", std::string("literal"));
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string hex;
  for (const std::byte byte : value.literal()) {
    hex += kDigits[std::to_integer<int>(byte) >> 4];
    hex += kDigits[std::to_integer<int>(byte) & 15];
  }
  step.attributes.set("hex", std::move(hex));
  draft.add(value, std::move(step));
}

Status PlanBuilder::draft_eval(const ir::Value& value, Draft& draft) {
  const ir::Node& node = *value.producer();
  RecipeStep step = make_step(RecipeOp::kEval, value, {});
  for (const ir::Value* input : node.inputs()) step.inputs.push_back(input ? draft.steps.at(input) : -1);
  step.attributes = node.attributes();
  step.attributes.set("kernel", std::string(node.op()->name));
  if (node.outputs().size() > 1) {
    if (!node.is("pointwise"))
      return unsupported("'{}': {} on weights alone has {} results; a recipe has one", node.name(),
                         node.op()->name, node.outputs().size());
    HR_ASSIGN(std::string program, one_result(step.attributes.text("program"), value.output_index()));
    step.attributes.set("program", std::move(program));
  }
  draft.computed = true;
  draft.add(value, std::move(step));
  return {};
}

std::string PlanBuilder::weight_name(const Draft& draft) const {
  if (draft.sources.empty()) return "constant";
  std::string name = draft.sources[0];
  if (draft.joined && !draft.computed)
    for (size_t i = 1; i < draft.sources.size(); ++i) name += "+" + draft.sources[i];
  return draft.computed ? name + ".folded" : name;
}

Result<Weight> PlanBuilder::draft_weight(const ir::Value& value) {
  Draft draft;
  HR_TRY(draft_value(value, draft));
  Weight weight;
  weight.name = weight_name(draft);
  weight.dtype = value.dtype();
  weight.shape = static_shape(value);
  weight.recipe = std::move(draft.recipe);
  weight.stored = weight.resident = plain_size(weight);
  return weight;
}

int32_t PlanBuilder::add_weight(Weight weight) {
  for (size_t i = 0; i < plan_.weights.size(); ++i)
    if (plan_.weights[i].use == weight.use && plan_.weights[i].recipe == weight.recipe)
      return static_cast<int32_t>(i);
  const auto taken = [this](const std::string& name) {
    return std::any_of(plan_.weights.begin(), plan_.weights.end(),
                       [&](const Weight& other) { return other.name == name; });
  };
  const std::string stem = weight.name;
  for (int suffix = 1; taken(weight.name); ++suffix) weight.name = fmt::format("{}.{}", stem, suffix);
  plan_.weights.push_back(std::move(weight));
  return static_cast<int32_t>(plan_.weights.size() - 1);
}

TensorIndex PlanBuilder::weight_tensor(int32_t index) {
  const Weight& weight = plan_.weights[static_cast<size_t>(index)];
  auto [buffer, added] = weight_buffers_.try_emplace(index, kNone);
  if (added) buffer->second = add_buffer(BufferKind::kWeight, weight.resident.count, index);
  if (!weight.recipe.empty() && weight.recipe.back().op == RecipeOp::kPack)
    return add_row_major(DType::kU8, {weight.resident.count}, buffer->second);
  return add_row_major(weight.dtype, to_shape(weight.shape), buffer->second);
}

void take_rows(Weight& weight, int64_t begin, int64_t end) {
  const Sizes strides = row_major_strides(std::span<const int64_t>(weight.shape));
  weight.shape[0] = end - begin;
  RecipeStep step;
  step.op = RecipeOp::kStrided;
  step.inputs = {static_cast<int>(weight.recipe.size() - 1)};
  step.dtype = weight.dtype;
  step.shape = weight.shape;
  step.attributes = {{"strides", strides}, {"offset", begin * strides[0]}};
  weight.recipe.push_back(std::move(step));
  weight.stored = weight.resident = plain_size(weight);
}

void pack(Weight& weight, AttributeMap attributes, Bytes stored) {
  RecipeStep step;
  step.op = RecipeOp::kPack;
  step.inputs = {static_cast<int>(weight.recipe.size() - 1)};
  step.dtype = weight.dtype;
  step.shape = weight.shape;
  step.attributes = std::move(attributes);
  weight.recipe.push_back(std::move(step));
  weight.stored = weight.resident = stored;
}

}  // namespace headrace
