// join_rotary: rotary of neighbouring heads of one tensor (query and key, out of one product) by the same cos
// and sin becomes one rotary of them all, and slices of its result along the heads.
//
// Only what attention alone reads is joined: it reads windows of tensors as well as whole ones, where other
// ops might need a copy.
#include <algorithm>
#include <map>
#include <tuple>

#include "passes/pass_list.h"
#include "passes/reshape_groups.h"
#include "passes/rewrite.h"

namespace headrace::passes {
namespace {

// A rotary whose x is a slice of a tensor, seen through reshapes and transposes.
struct Part {
  Node* rotary;
  Node* slice;
  std::vector<Node*> chain;  // from the slice to x
  Shape strides;             // of x in the slice's input

  const Shape& shape() const { return rotary->input(0)->shape(); }
  Value* whole() const { return slice->input(0); }
  int64_t axis() const { return slice->attributes().integer("axis"); }
  Dim start() const { return slice->attributes().get<Dim>("start", Dim(0)); }
  Dim stop() const { return slice->attributes().get<Dim>("stop", Dim(0)); }
};

// The strides after a reshape; nullopt where none say it.
std::optional<Shape> reshaped(const Shape& from, const Shape& strides, const Shape& to) {
  const std::vector<ReshapeGroup> groups = reshape_groups(from, to);
  if (groups.empty()) return std::nullopt;
  Shape result(to.size(), Dim(1));
  for (const ReshapeGroup& group : groups) {
    std::optional<Dim> inner, next;  // the innermost stride, and what the next must be
    for (size_t i = group.from_begin + group.from_count; i-- > group.from_begin;) {
      if (is_one(from[i])) continue;
      if (next && !(strides[i] == *next)) return std::nullopt;
      if (!inner) inner = strides[i];
      next = strides[i] * from[i];
    }
    Dim stride = inner.value_or(Dim(1));
    for (size_t i = group.to_begin + group.to_count; i-- > group.to_begin; stride = stride * to[i])
      result[i] = stride;
  }
  return result;
}

std::optional<Shape> strides_of(const Part& part) {
  Shape strides = row_major_strides(std::span<const Dim>(part.whole()->shape()));
  for (const Node* node : part.chain) {
    if (node->is("reshape")) {
      auto next = reshaped(node->input(0)->shape(), strides, node->output()->shape());
      if (!next) return std::nullopt;
      strides = std::move(*next);
    } else {
      Shape moved;
      for (const int64_t dim : node->attributes().integers("perm"))
        moved.push_back(strides[static_cast<size_t>(dim)]);
      strides = std::move(moved);
    }
  }
  return strides;
}

bool read_by_attention_alone(const Value* value) {
  return !value->is_graph_output() && std::all_of(value->users().begin(), value->users().end(),
                                                  [](const Node* user) { return user->is("attention"); });
}

std::optional<Part> part_of(Node* rotary) {
  if (!read_by_attention_alone(rotary->output())) return std::nullopt;
  Part part{rotary, rotary->input(0)->producer(), {}, {}};
  while (part.slice && (part.slice->is("reshape") || part.slice->is("transpose"))) {
    part.chain.insert(part.chain.begin(), part.slice);
    part.slice = part.slice->input(0)->producer();
  }
  if (!part.slice || !part.slice->is("slice") || part.slice->attributes().integer("step", 1) != 1)
    return std::nullopt;
  auto strides = strides_of(part);
  if (!strides) return std::nullopt;
  part.strides = std::move(*strides);
  return part;
}

// Where the sliced dim goes along a part's chain: the dim that it is, or the outermost of those that it is
// parted into, and what each reshape leaves inside of that.
struct Trail {
  std::vector<size_t> axes = {};  // one more than the chain has nodes
  std::vector<Dim> inner = {};    // one a node
};

std::optional<Trail> trail_of(const Part& part) {
  Trail trail{{static_cast<size_t>(part.axis())}};
  for (const Node* node : part.chain) {
    const size_t axis = trail.axes.back();
    if (node->is("transpose")) {
      const std::vector<int64_t> perm = node->attributes().integers("perm");
      const auto at = std::find(perm.begin(), perm.end(), static_cast<int64_t>(axis));
      trail.axes.push_back(static_cast<size_t>(at - perm.begin()));
      trail.inner.emplace_back(1);
      continue;
    }
    const Shape &from = node->input(0)->shape(), &to = node->output()->shape();
    const std::vector<ReshapeGroup> groups = reshape_groups(from, to);
    const auto group = std::find_if(groups.begin(), groups.end(), [&](const ReshapeGroup& g) {
      return axis >= g.from_begin && axis < g.from_begin + g.from_count;
    });
    if (group == groups.end()) return std::nullopt;
    for (size_t i = group->from_begin; i < group->from_begin + group->from_count; ++i)
      if (i != axis && !is_one(from[i])) return std::nullopt;
    size_t outermost = group->to_begin;
    const size_t end = group->to_begin + group->to_count;
    while (outermost < end && is_one(to[outermost])) ++outermost;
    if (outermost == end) return std::nullopt;
    trail.axes.push_back(outermost);
    trail.inner.push_back(element_count(std::span(to).subspan(outermost + 1, end - outermost - 1)));
  }
  return trail;
}

// How `first` and `second` become one: by the chain of `like`, which is one of them, with larger sizes.
struct Join {
  const Part *first, *second, *like;
  std::vector<size_t> axes;
  std::vector<Dim> sizes;  // of the dims `axes`; the last is that of the heads
};

// x of `second` is what follows x of `first` along `heads`.
bool is_continued(const Part& first, const Part& second, size_t heads) {
  const Shape &a = first.shape(), &b = second.shape();
  if (a.size() != b.size() || heads + 1 >= a.size()) return false;
  for (size_t dim = 0; dim < a.size(); ++dim) {
    if (dim != heads && !(a[dim] == b[dim])) return false;
    if (!is_one(a[dim]) && !is_one(b[dim]) && !(first.strides[dim] == second.strides[dim])) return false;
  }
  for (const size_t operand : {1, 2}) {  // cos and sin
    if (!is_one(padded(first.rotary->input(operand)->shape(), a.size())[heads])) return false;
  }
  return true;
}

std::optional<Join> join_like(const Part& first, const Part& second, const Part& like) {
  const auto trail = trail_of(like);
  if (!trail || !is_continued(first, second, trail->axes.back())) return std::nullopt;
  const size_t heads = trail->axes.back();
  std::vector<Dim> sizes = {first.shape()[heads] + second.shape()[heads]};
  for (size_t i = trail->inner.size(); i-- > 0;) sizes.insert(sizes.begin(), sizes.front() * trail->inner[i]);
  if (!(sizes.front() == second.stop() - first.start())) return std::nullopt;
  return Join{&first, &second, &like, trail->axes, sizes};
}

std::optional<Join> match(const Part& first, const Part& second) {
  if (first.axis() != second.axis() || !(first.stop() == second.start())) return std::nullopt;
  const auto join = join_like(first, second, first);
  // One head may be there without a dim of its own: the other part then tells which it is.
  return join ? join : join_like(first, second, second);
}

// The rotary of both.
Result<Value*> rotated(const Builder& build, const Join& join) {
  const Node& rotary = *join.first->rotary;
  HR_ASSIGN(Value * x, build("slice", {join.first->whole()},
                             slice_attributes(join.first->axis(), join.first->start(), join.second->stop())));
  for (size_t i = 0; i < join.like->chain.size(); ++i) {
    const Node& node = *join.like->chain[i];
    AttributeMap attributes = node.attributes();
    if (node.is("reshape")) {
      Shape shape = node.output()->shape();
      shape[join.axes[i + 1]] = join.sizes[i + 1];
      attributes = shape_attribute(std::move(shape));
    }
    HR_ASSIGN(x, build(node.op()->name, {x}, std::move(attributes)));
  }
  return build("rotary", {x, rotary.input(1), rotary.input(2)}, rotary.attributes());
}

Status apply(Graph& graph, const Join& join) {
  Node *first = join.first->rotary, *second = join.second->rotary;
  // Before both, so that all stands before every user of either.
  Node* position = graph.precedes(first, second) ? first : second;
  HR_ASSIGN(Value * both, rotated({graph, position, first->output()->name() + ".joined"}, join));
  const auto axis = static_cast<int64_t>(join.axes.back());
  const Dim begin = first->output()->shape()[join.axes.back()], end = join.sizes.back();
  const auto window = [&](const Dim& start, const Dim& stop, const Node& of) {
    return graph.add("slice", {both}, slice_attributes(axis, start, stop), of.output()->name(), position);
  };
  HR_ASSIGN(Value * low, window(0, begin, *first));
  HR_ASSIGN(Value * high, window(begin, end, *second));
  for (const auto& [node, part] : {std::pair{first, low}, std::pair{second, high}}) {
    merge_sources(both->producer(), *node);
    std::string name = node->output()->name();
    replace(graph, node, part);
    graph.rename(part, std::move(name));
  }
  return {};
}

// What parts must have in common to be joined.
using Key = std::tuple<Value*, Value*, Value*, bool>;
Key key_of(const Part& part) {
  const Node& rotary = *part.rotary;
  return {part.whole(), rotary.input(1), rotary.input(2), rotary.attributes().flag("interleaved")};
}

// Joins two of `parts`, where two can be, and takes them out.
Result<bool> join_two(Graph& graph, std::vector<Part>& parts) {
  for (size_t i = 0; i < parts.size(); ++i) {
    for (size_t j = 0; j < parts.size(); ++j) {
      const auto join = i == j ? std::nullopt : match(parts[i], parts[j]);
      if (!join) continue;
      HR_TRY(apply(graph, *join));
      parts.erase(parts.begin() + static_cast<ptrdiff_t>(std::max(i, j)));
      parts.erase(parts.begin() + static_cast<ptrdiff_t>(std::min(i, j)));
      return true;
    }
  }
  return false;
}

}  // namespace

Result<bool> join_rotary(Graph& graph, const PassContext& context) {
  if (!context.options.preferences.join_matmuls) return false;
  std::map<Key, std::vector<Part>> groups;
  std::vector<Key> order;  // by first member: a map of pointers has none that repeats
  for (Node* node : snapshot(graph)) {
    if (!node->is("rotary")) continue;
    auto part = part_of(node);
    if (!part) continue;
    std::vector<Part>& group = groups[key_of(*part)];
    if (group.empty()) order.push_back(key_of(*part));
    group.push_back(std::move(*part));
  }
  bool changed = false;
  for (const Key& key : order) {
    for (bool again = true; again; changed |= again) {
      HR_ASSIGN(again, join_two(graph, groups[key]));
    }
  }
  return changed;
}

}  // namespace headrace::passes
