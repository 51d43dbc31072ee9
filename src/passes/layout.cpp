// layout: convolutions and pools in channels-last order, as the back end likes it. Each gets transposes
// around it; those then move down through what lies between (element-wise ops, concat, slice, pad,
// reductions) and meet their opposites, so that in the end they stand at the borders alone.
#include <algorithm>
#include <map>
#include <set>

#include "passes/pass_list.h"
#include "passes/rewrite.h"

namespace headrace::passes {
namespace {

std::vector<int64_t> to_last(int64_t rank) {  // [N, C, H, W] -> [N, H, W, C]
  std::vector<int64_t> perm = {0};
  for (int64_t i = 2; i < rank; ++i) perm.push_back(i);
  perm.push_back(1);
  return perm;
}
std::vector<int64_t> to_first(int64_t rank) {  // its opposite
  std::vector<int64_t> perm = {0, rank - 1};
  for (int64_t i = 1; i < rank - 1; ++i) perm.push_back(i);
  return perm;
}
int64_t axis_in_last(int64_t axis, int64_t rank) { return axis == 0 ? 0 : axis == 1 ? rank - 1 : axis - 1; }

template <class T>
std::vector<T> permuted(const std::vector<T>& list, const std::vector<int64_t>& perm) {
  std::vector<T> result;
  for (const int64_t i : perm) result.push_back(list[static_cast<size_t>(i)]);
  return result;
}

class Layout {
 public:
  Layout(Graph& graph, const ir::Preferences& preferences) : graph_(graph), preferences_(preferences) {}

  Result<bool> run() {
    bool changed = false;
    for (Node* node : snapshot(graph_)) {
      if (is_weight_only(*node) || node->outputs().size() != 1) continue;
      HR_ASSIGN(const bool here, visit(node));
      changed |= here;
    }
    return changed;
  }

 private:
  Result<bool> visit(Node* node) {
    if (node->is("conv") || node->is("max_pool") || node->is("avg_pool") || node->is("adaptive_avg_pool"))
      return convert(node);
    if (is_pointwise(*node) || node->is("concat")) return sink_many(node);
    if (node->is("reduce")) return sink_reduce(node);
    if (node->is("slice") || node->is("softmax") || node->is("batch_norm")) return sink_axis(node);
    if (node->is("gather") && node->input(1)->rank() == 1) return sink_axis(node);
    if (node->is("pad")) return sink_pad(node);
    return false;
  }

  // x of to_first(x): the value in channels-last order, where there is one already.
  Value* last_of(const Value* value) const {
    const Node* turn = producer(value, "transpose");
    if (!turn || value->rank() < 3) return nullptr;
    return turn->attributes().integers("perm") == to_first(value->rank()) ? turn->input(0) : nullptr;
  }

  // The same, where it was this pass that turned it: other transposes belong to the model, and to what
  // follows them.
  Value* own_last_of(const Value* value) const { return borders_.count(value) ? last_of(value) : nullptr; }

  Result<Value*> as_last(Value* value, Node* position) {
    if (Value* known = last_of(value)) return known;
    if (is_constant(value)) return turned_constant(value, value->rank(), position);
    Value*& cached = turned_[value];
    if (cached && graph_.precedes(cached->producer(), position)) return cached;
    HR_ASSIGN(cached, graph_.add("transpose", {value}, perm_attribute(to_last(value->rank())),
                                 stem(value->name()), position));
    return cached;
  }

  // A constant of up to `rank` dims, as it broadcasts to channels-last.
  Result<Value*> turned_constant(Value* value, int64_t rank, Node* position) {
    if (value->rank() == 0) return value;
    const Builder build{graph_, position, value->name()};
    const Shape full = padded(value->shape(), static_cast<size_t>(rank));
    HR_ASSIGN(Value * wide, build.reshape(value, full));
    const Shape turned = permuted(full, to_last(rank));
    const auto sizes = std::count_if(full.begin(), full.end(), [](const Dim& dim) { return !is_one(dim); });
    if (sizes <= 1) return build.reshape(wide, turned);
    return build("transpose", {wide}, perm_attribute(to_last(rank)));
  }

  // Gives `node` new inputs and attributes; its result, of the old meaning, is the transposed one.
  Result<bool> finish(Node* node, std::vector<Value*> inputs, AttributeMap attributes) {
    const std::string name = node->output()->name();
    HR_ASSIGN(Node * moved, graph_.add(node->op(), std::move(inputs), std::move(attributes), name, node));
    merge_sources(moved, *node);
    HR_ASSIGN(Value * border, replace_with(graph_, node, "transpose", {moved->output()},
                                           perm_attribute(to_first(moved->output()->rank()))));
    borders_.insert(border);
    return true;
  }

  // Whether it stays as it is: a pool may be converted with what it is given, since either order suits it.
  bool stays(const Node& node) const {
    const std::vector<DType>& planes = preferences_.planes;
    if (std::find(planes.begin(), planes.end(), node.output()->dtype()) == planes.end()) return false;
    return node.is("conv") || !own_last_of(node.input(0));
  }

  Result<bool> convert(Node* node) {
    if (node->attributes().flag("channels_last") || node->input(0)->rank() < 3 || stays(*node)) return false;
    std::vector<Value*> inputs = node->inputs();
    HR_ASSIGN(inputs[0], as_last(inputs[0], node));
    if (node->is("conv") && node->input(3)) {
      HR_ASSIGN(inputs[3], as_last(inputs[3], node));
    }
    AttributeMap attributes = node->attributes();
    attributes.set("channels_last", true);
    return finish(node, std::move(inputs), std::move(attributes));
  }

  // Ops over several operands of one rank: worth it where at least half of the full ones are in channels-last
  // order anyway.
  Result<bool> sink_many(Node* node) {
    const int64_t rank = node->output()->rank();
    if (rank < 3) return false;
    int ready = 0, others = 0;
    for (const Value* input : node->inputs()) {
      if (own_last_of(input) && input->rank() == rank)
        ++ready;
      else if (!is_constant(input) && input->rank() != 0)
        ++others;
      if (!is_constant(input) && input->rank() != rank && input->rank() != 0) return false;
    }
    if (ready == 0 || ready < others) return false;
    std::vector<Value*> inputs;
    for (Value* input : node->inputs()) {
      const bool constant = is_constant(input) || input->rank() == 0;
      HR_ASSIGN(Value * last, constant ? turned_constant(input, rank, node) : as_last(input, node));
      inputs.push_back(last);
    }
    AttributeMap attributes = node->attributes();
    if (node->is("concat")) attributes.set("axis", axis_in_last(attributes.integer("axis"), rank));
    return finish(node, std::move(inputs), std::move(attributes));
  }

  Result<bool> sink_axis(Node* node) {
    Value* last = own_last_of(node->input(0));
    if (!last) return false;
    std::vector<Value*> inputs = node->inputs();
    inputs[0] = last;
    AttributeMap attributes = node->attributes();
    attributes.set("axis",
                   axis_in_last(attributes.integer("axis", node->is("batch_norm") ? 1 : 0), last->rank()));
    return finish(node, std::move(inputs), std::move(attributes));
  }

  Result<bool> sink_pad(Node* node) {
    Value* last = own_last_of(node->input(0));
    if (!last) return false;
    AttributeMap attributes = node->attributes();
    for (const std::string_view side : {"low", "high"})
      attributes.set(side, permuted(attributes.integers(side), to_last(last->rank())));
    return finish(node, {last}, std::move(attributes));
  }

  Result<bool> sink_reduce(Node* node) {
    Value* last = own_last_of(node->input(0));
    if (!last) return false;
    AttributeMap attributes = node->attributes();
    std::vector<int64_t> axes;
    for (const int64_t axis : attributes.integers("axes")) axes.push_back(axis_in_last(axis, last->rank()));
    std::sort(axes.begin(), axes.end());
    attributes.set("axes", axes);
    if (attributes.flag("keepdim")) return finish(node, {last}, std::move(attributes));
    // Without the reduced dims, [N, C] and the like are the same in both orders; else the rest is turned
    // back.
    std::vector<int64_t> left;  // of the channels-first dims, in order
    const std::vector<int64_t> old_axes = node->attributes().integers("axes");
    for (int64_t axis = 0; axis < last->rank(); ++axis)
      if (std::find(old_axes.begin(), old_axes.end(), axis) == old_axes.end()) left.push_back(axis);
    std::vector<int64_t> order,
        perm;  // `order`: where each stands among the channels-last dims that are left
    for (const int64_t axis : left) order.push_back(axis_in_last(axis, last->rank()));
    for (const int64_t at : order)
      perm.push_back(std::count_if(order.begin(), order.end(), [at](int64_t other) { return other < at; }));
    if (std::is_sorted(perm.begin(), perm.end()))
      return replaced(replace_with(graph_, node, "reduce", {last}, std::move(attributes)));
    const std::string name = node->output()->name();
    HR_ASSIGN(Node * moved, graph_.add(node->op(), {last}, std::move(attributes), name, node));
    return replaced(replace_with(graph_, node, "transpose", {moved->output()}, perm_attribute(perm)));
  }

  Graph& graph_;
  const ir::Preferences& preferences_;
  std::map<Value*, Value*> turned_;
  std::set<const Value*> borders_;  // results of the transposes put after what was converted
};

}  // namespace

Result<bool> layout(Graph& graph, const PassContext& context) {
  if (!context.options.preferences.channels_last) return false;
  return Layout(graph, context.options.preferences).run();
}

}  // namespace headrace::passes
