// The checks of a whole plan. After ok, following any index is safe, and every size that is known without the
// symbols' values fits; the rest is for the runtime, when it binds them.
#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "core/error.h"
#include "engine/sizes.h"
#include "engine/verify.h"

namespace headrace {
namespace {

constexpr size_t kMaxRank = 64;

class PlanVerifier {
 public:
  explicit PlanVerifier(const Plan& plan) : plan_(plan) {}

  Status run() {
    // In this order: later checks follow indices that earlier ones have found good.
    HR_TRY(check_symbols());
    HR_TRY(check_each(plan_.sources, &PlanVerifier::check_source));
    HR_TRY(check_each(plan_.weights, &PlanVerifier::check_weight));
    HR_TRY(check_groups());
    HR_TRY(check_each(plan_.literals, &PlanVerifier::check_literal));
    HR_TRY(check_each(plan_.states, &PlanVerifier::check_state));
    HR_TRY(check_each(plan_.buffers, &PlanVerifier::check_buffer));
    HR_TRY(check_each(plan_.tensors, &PlanVerifier::check_tensor));
    HR_TRY(check_each(plan_.inputs, &PlanVerifier::check_input));
    HR_TRY(check_each(plan_.outputs, &PlanVerifier::check_output));
    return check_each(plan_.steps, &PlanVerifier::check_step);
  }

 private:
  template <class T>
  Status check_each(const std::vector<T>& items, Status (PlanVerifier::*check)(size_t, const T&)) {
    // Indices are int32_t.
    if (items.size() > static_cast<size_t>(INT32_MAX)) return corrupt("a list of {} entries", items.size());
    for (size_t i = 0; i < items.size(); ++i) HR_TRY((this->*check)(i, items[i]));
    return {};
  }

  template <class T>
  static bool within(int32_t index, const std::vector<T>& items) {
    return index >= 0 && static_cast<size_t>(index) < items.size();
  }

  Status check_symbols() {
    for (const Symbol& symbol : plan_.symbols) {
      const bool fresh = symbols_.insert(symbol.name).second;
      const Result<Dim> dim = Dim::parse(symbol.name);
      if (!dim.ok() || dim->kind() != Dim::Kind::kSymbol || dim->name() != symbol.name)
        return corrupt("symbol '{}': that is no name", symbol.name);
      if (!fresh) return corrupt("symbol '{}' is declared twice", symbol.name);
      if (symbol.min > symbol.opt || symbol.opt > symbol.max)
        return corrupt("symbol '{}': range {} .. {} .. {} is not ordered", symbol.name, symbol.min,
                       symbol.opt, symbol.max);
    }
    for (const ShapeGuard& guard : plan_.guards) {
      if (static_cast<int>(guard.relation) > static_cast<int>(Relation::kGe))
        return corrupt("guard: unknown relation {}", static_cast<int>(guard.relation));
      HR_TRY(check_dim(guard.left, "guard"));
      HR_TRY(check_dim(guard.right, "guard"));
    }
    return {};
  }

  Status check_dim(const Dim& dim, std::string_view what) {
    if (dim.is_constant()) return {};
    std::vector<std::string> names;
    dim.collect_symbols(names);
    for (const std::string& name : names)
      if (!symbols_.contains(name))
        return corrupt("{}: size {} has the symbol '{}', which is not declared", what, dim.text(), name);
    return {};
  }

  // A size or stride: not negative where that is known.
  Status check_size(const Dim& dim, std::string_view what) {
    if (dim.is_constant() && dim.constant() < 0) return corrupt("{}: negative size {}", what, dim.constant());
    return check_dim(dim, what);
  }

  Status check_shape(DType dtype, const Shape& shape, std::string_view what) {
    if (!is_valid(dtype)) return corrupt("{}: unknown dtype {}", what, static_cast<int>(dtype));
    if (shape.size() > kMaxRank) return corrupt("{}: rank {}", what, shape.size());
    for (const Dim& dim : shape) HR_TRY(check_size(dim, what));
    return {};
  }

  Status check_attributes(const AttributeMap& attributes, std::string_view what) {
    for (const auto& [name, value] : attributes.entries()) {
      if (const auto* dtype = std::get_if<DType>(&value))
        if (!is_valid(*dtype)) return corrupt("{}: attribute '{}' is no dtype", what, name);
      if (const auto* dim = std::get_if<Dim>(&value)) HR_TRY(check_dim(*dim, what));
      if (const auto* dims = std::get_if<std::vector<Dim>>(&value))
        for (const Dim& dim : *dims) HR_TRY(check_dim(dim, what));
    }
    return {};
  }

  Status check_source(size_t, const SourceWeight& source) { return verify_source(source); }

  Status check_weight(size_t, const Weight& weight) {
    const std::string what = fmt::format("weight '{}'", weight.name);
    if (!is_valid(weight.dtype)) return corrupt("{}: unknown dtype {}", what, static_cast<int>(weight.dtype));
    const std::optional<Bytes> plain = checked_bytes(weight.dtype, weight.shape);
    if (!plain || weight.shape.size() > kMaxRank)
      return corrupt("{}: impossible shape {}", what, to_text(weight.shape));
    if (weight.encoding != Encoding::kPlain)
      return corrupt("{}: unknown encoding {}", what, static_cast<int>(weight.encoding));
    if (weight.stored < Bytes{} || weight.resident != weight.stored)
      return corrupt("{}: {} bytes stored, {} resident", what, weight.stored.count, weight.resident.count);
    const bool packed = !weight.recipe.empty() && weight.recipe.back().op == RecipeOp::kPack;
    if (!weight.recipe.empty() && !packed && weight.stored != *plain)
      return corrupt("{}: {} bytes stored for {}{}", what, weight.stored.count, dtype_name(weight.dtype),
                     to_text(weight.shape));
    if (weight.use == WeightUse::kRows) {
      if (packed || weight.shape.empty() || weight.stored != *plain)
        return corrupt("{}: it is fetched by rows, but is no plain list of rows", what);
    } else if (weight.use != WeightUse::kWhole) {
      return corrupt("{}: unknown use {}", what, static_cast<int>(weight.use));
    }
    for (const RecipeStep& step : weight.recipe) HR_TRY(check_attributes(step.attributes, what));
    return verify_recipe(weight, plan_.sources);
  }

  Status check_groups() {
    Bytes end;
    std::vector<std::vector<const Weight*>> members(plan_.groups.size());
    for (size_t i = 0; i < plan_.groups.size(); ++i) {
      const WeightGroup& group = plan_.groups[i];
      if (group.offset.count % kWeightAlignment.count != 0 || group.offset < end || group.size < Bytes{})
        return corrupt("weight group {}: {} bytes at {} are not aligned, or not behind group {}", i,
                       group.size.count, group.offset.count, static_cast<int64_t>(i) - 1);
      const std::optional<int64_t> next = checked_add(group.offset.count, group.size.count);
      if (!next || !checked_add(*next, mib(4).count)) return corrupt("weight group {}: impossible size", i);
      end = Bytes{*next};
    }
    for (const Weight& weight : plan_.weights) {
      if (plan_.groups.empty() && weight.group == kNone) continue;
      if (!within(weight.group, plan_.groups))
        return corrupt("weight '{}': there is no group {}", weight.name, weight.group);
      const auto index = static_cast<size_t>(weight.group);
      const std::optional<int64_t> last = checked_add(weight.offset.count, weight.stored.count);
      if (weight.offset < Bytes{} || !last || *last > plan_.groups[index].size.count)
        return corrupt("weight '{}': {} bytes at {} leave group {}, which has {}", weight.name,
                       weight.stored.count, weight.offset.count, weight.group,
                       plan_.groups[index].size.count);
      members[index].push_back(&weight);
    }
    for (std::vector<const Weight*>& weights : members) HR_TRY(check_members(weights));
    return {};
  }

  static Status check_members(std::vector<const Weight*>& weights) {
    std::stable_sort(weights.begin(), weights.end(),
                     [](const Weight* a, const Weight* b) { return a->offset < b->offset; });
    for (size_t i = 0; i < weights.size(); ++i) {
      const Weight& weight = *weights[i];
      if (weight.use == WeightUse::kRows && weights.size() > 1)
        return corrupt("weight '{}' is fetched by rows and must be alone in its group", weight.name);
      if (i > 0 && weights[i - 1]->offset + weights[i - 1]->stored > weight.offset)
        return corrupt("weights '{}' and '{}' overlap", weights[i - 1]->name, weight.name);
    }
    return {};
  }

  Status check_literal(size_t index, const Literal& literal) {
    const bool known = is_valid(literal.dtype);
    const std::optional<Bytes> size = known ? checked_bytes(literal.dtype, literal.shape) : std::nullopt;
    if (!size || size->count != static_cast<int64_t>(literal.bytes.size()))
      return corrupt("literal {}: {} bytes for shape {}", index, literal.bytes.size(),
                     to_text(literal.shape));
    return {};
  }

  Status check_state(size_t, const State& state) {
    return check_shape(state.dtype, state.shape, fmt::format("state '{}'", state.name));
  }

  Status check_buffer(size_t index, const Buffer& buffer) {
    const std::string what = fmt::format("buffer {}", index);
    HR_TRY(check_size(buffer.size, what));
    const auto steps = static_cast<StepIndex>(plan_.steps.size());
    if (buffer.kind == BufferKind::kArena) {
      const bool unused = buffer.first_step == kNone && buffer.last_step <= kNone;
      if (!unused &&
          (buffer.first_step < 0 || buffer.first_step > buffer.last_step || buffer.last_step >= steps))
        return corrupt("{}: it lives from step {} to {} of {}", what, buffer.first_step, buffer.last_step,
                       steps);
      return {};
    }
    const auto holds = [&](Bytes size) {  // no more than there is
      return buffer.size.is_constant() && buffer.size.constant() <= size.count;
    };
    switch (buffer.kind) {
      case BufferKind::kInput:
        if (within(buffer.index, plan_.inputs) && inputs_.insert(buffer.index).second) return {};
        break;
      case BufferKind::kOutput:
        if (within(buffer.index, plan_.outputs) && outputs_.insert(buffer.index).second) return {};
        break;
      case BufferKind::kState:
        if (within(buffer.index, plan_.states)) return {};
        break;
      case BufferKind::kWeight:
        if (within(buffer.index, plan_.weights) &&
            holds(plan_.weights[static_cast<size_t>(buffer.index)].resident))
          return {};
        break;
      case BufferKind::kLiteral:
        if (within(buffer.index, plan_.literals) &&
            holds({static_cast<int64_t>(plan_.literals[static_cast<size_t>(buffer.index)].bytes.size())}))
          return {};
        break;
      case BufferKind::kArena: break;
    }
    return corrupt("{}: kind {} of index {} and {} bytes fits nothing in the plan", what,
                   static_cast<int>(buffer.kind), buffer.index, buffer.size.text());
  }

  Status check_tensor(size_t index, const PlanTensor& tensor) {
    const std::string what = fmt::format("tensor {}", index);
    HR_TRY(check_shape(tensor.dtype, tensor.shape, what));
    if (tensor.strides.size() != tensor.shape.size())
      return corrupt("{}: {} strides for rank {}", what, tensor.strides.size(), tensor.shape.size());
    for (const Dim& stride : tensor.strides) HR_TRY(check_size(stride, what));
    HR_TRY(check_size(tensor.offset, what));
    if (!within(tensor.buffer, plan_.buffers))
      return corrupt("{}: there is no buffer {}", what, tensor.buffer);
    const Dim& size = plan_.buffers[static_cast<size_t>(tensor.buffer)].size;
    if (!is_static(tensor.shape) || !is_static(tensor.strides) || !tensor.offset.is_constant()) return {};
    const auto numbers = [](const Shape& dims) {
      Sizes sizes;
      for (const Dim& dim : dims) sizes.push_back(dim.constant());
      return sizes;
    };
    const std::optional<int64_t> end =
        window_end(numbers(tensor.shape), numbers(tensor.strides), tensor.offset.constant());
    const std::optional<int64_t> bytes =
        end ? checked_multiply(*end, dtype_size(tensor.dtype)) : std::nullopt;
    if (!bytes || !checked_bytes(tensor.dtype, numbers(tensor.shape)) ||
        (size.is_constant() && *bytes > size.constant()))
      return corrupt("{}: shape {}, strides {} and offset {} leave buffer {} of {} bytes", what,
                     to_text(tensor.shape), to_text(tensor.strides), tensor.offset.text(), tensor.buffer,
                     size.text());
    return {};
  }

  Status check_input(size_t index, const InputSpec& input) {
    const std::string what = fmt::format("input '{}'", input.name);
    const bool has_buffer = inputs_.contains(static_cast<int32_t>(index));
    switch (input.kind) {
      case InputKind::kTensor: {
        HR_TRY(check_shape(input.dtype, input.shape, what));
        if (input.buffer == kNone && !has_buffer) return {};
        if (!within(input.buffer, plan_.buffers)) break;
        const Buffer& buffer = plan_.buffers[static_cast<size_t>(input.buffer)];
        if (buffer.kind != BufferKind::kInput || buffer.index != static_cast<int32_t>(index)) break;
        return {};
      }
      case InputKind::kNumber:
        if (!symbols_.contains(input.symbol))
          return corrupt("{}: its symbol '{}' is not declared", what, input.symbol);
        [[fallthrough]];
      case InputKind::kConstant:
        if (input.buffer == kNone && !has_buffer) return {};
        break;
      default: return corrupt("{}: unknown kind {}", what, static_cast<int>(input.kind));
    }
    return corrupt("{}: buffer {} is not its own", what, input.buffer);
  }

  Status check_output(size_t index, const OutputSpec& output) {
    const std::string what = fmt::format("output '{}'", output.name);
    const bool has_buffer = outputs_.contains(static_cast<int32_t>(index));
    if (output.kind == OutputKind::kNumber || output.kind == OutputKind::kNoneValue) {
      if (has_buffer || output.tensor != kNone) return corrupt("{}: it is no tensor, but has memory", what);
      return check_dim(output.number, what);
    }
    if (output.kind != OutputKind::kTensor)
      return corrupt("{}: unknown kind {}", what, static_cast<int>(output.kind));
    HR_TRY(check_shape(output.dtype, output.shape, what));
    if (!within(output.tensor, plan_.tensors))
      return corrupt("{}: there is no tensor {}", what, output.tensor);
    const PlanTensor& tensor = plan_.tensors[static_cast<size_t>(output.tensor)];
    if (tensor.dtype != output.dtype || tensor.shape != output.shape)
      return corrupt("{}: it is {}{}, but its tensor is {}{}", what, dtype_name(output.dtype),
                     to_text(output.shape), dtype_name(tensor.dtype), to_text(tensor.shape));
    const Buffer& buffer = plan_.buffers[static_cast<size_t>(tensor.buffer)];
    // The runtime copies it after the last step.
    if (buffer.kind == BufferKind::kArena &&
        buffer.last_step + 1 != static_cast<StepIndex>(plan_.steps.size()))
      return corrupt("{}: its buffer {} lives to step {} only", what, tensor.buffer, buffer.last_step);
    if (buffer.kind == BufferKind::kWeight &&
        plan_.weights[static_cast<size_t>(buffer.index)].use == WeightUse::kRows)
      return corrupt("{}: it is a weight that is fetched by rows", what);
    return {};
  }

  Status check_step(size_t index, const Step& step) {
    const std::string what = fmt::format("step {} ('{}')", index, step.label);
    if (step.kernel.empty()) return corrupt("{}: it has no kernel", what);
    HR_TRY(check_attributes(step.attributes, what));
    for (const TensorIndex input : step.inputs)
      if (input != kNone) HR_TRY(check_operand(index, input, what, false));
    for (const TensorIndex output : step.outputs)
      if (output != kNone) HR_TRY(check_operand(index, output, what, true));
    return {};
  }

  Status check_operand(size_t step, TensorIndex tensor, std::string_view what, bool written) {
    if (!within(tensor, plan_.tensors)) return corrupt("{}: there is no tensor {}", what, tensor);
    const BufferIndex index = plan_.tensors[static_cast<size_t>(tensor)].buffer;
    const Buffer& buffer = plan_.buffers[static_cast<size_t>(index)];
    const auto at = static_cast<StepIndex>(step);
    if (buffer.kind == BufferKind::kArena && (at < buffer.first_step || at > buffer.last_step))
      return corrupt("{}: it uses buffer {}, which lives from step {} to {}", what, index, buffer.first_step,
                     buffer.last_step);
    const bool constant = buffer.kind == BufferKind::kWeight || buffer.kind == BufferKind::kLiteral ||
                          buffer.kind == BufferKind::kInput;
    if (written && constant)
      return corrupt("{}: it writes to buffer {}, which may only be read", what, index);
    return {};
  }

  const Plan& plan_;
  std::set<std::string, std::less<>> symbols_;
  std::set<int32_t> inputs_, outputs_;  // those that have a buffer
};

}  // namespace

Status verify(const Plan& plan) { return PlanVerifier(plan).run(); }

}  // namespace headrace
