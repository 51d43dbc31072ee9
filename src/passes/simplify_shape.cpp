// Rules for ops that move elements: reshape, transpose, expand, slice, concat, pad.
#include <algorithm>

#include "passes/reshape_groups.h"
#include "passes/simplify.h"

namespace headrace::passes {
namespace {

// transpose(reshape(x)) as reshape(transpose(x)), where the transpose moves groups of the reshape whole: the
// perm for x; nullopt where it does not.
std::optional<std::vector<int64_t>> perm_before_reshape(const Shape& from, const Shape& to,
                                                        const std::vector<int64_t>& perm) {
  const std::vector<ReshapeGroup> groups = reshape_groups(from, to);
  std::vector<int64_t> result;
  for (size_t at = 0; at < perm.size();) {
    const auto group = std::find_if(groups.begin(), groups.end(), [&](const ReshapeGroup& g) {
      return g.to_begin == static_cast<size_t>(perm[at]);
    });
    if (group == groups.end() || at + group->to_count > perm.size()) return std::nullopt;
    for (size_t k = 0; k < group->to_count; ++k)
      if (perm[at + k] != static_cast<int64_t>(group->to_begin + k)) return std::nullopt;
    for (size_t k = 0; k < group->from_count; ++k)
      result.push_back(static_cast<int64_t>(group->from_begin + k));
    at += group->to_count;
  }
  return result;
}

}  // namespace

namespace {

// reshape(transpose(y)) as transpose(reshape(y)), where the reshape parts dims and joins none: heads are
// parted first and moved then, so that the transpose meets the next.
Result<bool> part_before_transpose(Graph& graph, Node* node, const Node& transpose) {
  if (!only_use(transpose.output())) return false;
  // Dims of size 1 are left out: where they stand does not matter.
  const Shape &y = transpose.input(0)->shape(), &parted = node->output()->shape();
  std::vector<int64_t> perm;
  Shape moved;
  for (const int64_t from : transpose.attributes().integers("perm")) {
    if (is_one(y[static_cast<size_t>(from)])) continue;
    moved.push_back(y[static_cast<size_t>(from)]);
    perm.push_back(from - std::count_if(y.begin(), y.begin() + from, is_one));
  }
  const std::vector<ReshapeGroup> groups = reshape_groups(moved, parted);
  bool parts = false;
  if (groups.size() != moved.size()) return false;
  for (const ReshapeGroup& group : groups) {
    const auto dims = std::span(parted).subspan(group.to_begin, group.to_count);
    parts |= std::count_if(dims.begin(), dims.end(), [](const Dim& dim) { return !is_one(dim); }) > 1;
    if (group.from_count != 1) return false;
  }
  if (!parts) return false;
  Shape shape;                                 // of the reshape of y
  std::vector<int64_t> begin(perm.size(), 0);  // by dim of y: where its parts begin in `shape`
  for (size_t dim = 0; dim < perm.size(); ++dim) {
    const auto at =
        static_cast<size_t>(std::find(perm.begin(), perm.end(), static_cast<int64_t>(dim)) - perm.begin());
    begin[dim] = static_cast<int64_t>(shape.size());
    for (size_t k = 0; k < groups[at].to_count; ++k) shape.push_back(parted[groups[at].to_begin + k]);
  }
  std::vector<int64_t> new_perm;
  for (size_t i = 0; i < perm.size(); ++i)
    for (size_t k = 0; k < groups[i].to_count; ++k)
      new_perm.push_back(begin[static_cast<size_t>(perm[i])] + static_cast<int64_t>(k));
  HR_ASSIGN(Value * first, graph.add("reshape", {transpose.input(0)}, shape_attribute(shape),
                                     stem(node->output()->name()), node));
  return replaced(replace_with(graph, node, "transpose", {first}, perm_attribute(new_perm)));
}

}  // namespace

Result<bool> simplify_reshape(Graph& graph, Node* node) {
  Value* x = node->input(0);
  if (x->shape() == node->output()->shape()) return replace(graph, node, x), true;
  if (const Node* inner = producer(x, "reshape")) {
    return replaced(replace_with(graph, node, "reshape", {inner->input(0)}, node->attributes()));
  }
  const Node* transpose = producer(x, "transpose");
  return transpose ? part_before_transpose(graph, node, *transpose) : false;
}

Result<bool> simplify_transpose(Graph& graph, Node* node) {
  Value* x = node->input(0);
  const std::vector<int64_t> perm = node->attributes().integers("perm");
  if (std::is_sorted(perm.begin(), perm.end())) return replace(graph, node, x), true;
  if (const Node* inner = producer(x, "transpose")) {
    const std::vector<int64_t> first = inner->attributes().integers("perm");
    std::vector<int64_t> both;
    for (const int64_t dim : perm) both.push_back(first[static_cast<size_t>(dim)]);
    return replaced(replace_with(graph, node, "transpose", {inner->input(0)}, perm_attribute(both)));
  }
  // Only dims of size 1 move: the elements stay where they are.
  std::vector<int64_t> moved;
  for (const int64_t dim : perm)
    if (!is_one(x->shape()[static_cast<size_t>(dim)])) moved.push_back(dim);
  if (std::is_sorted(moved.begin(), moved.end())) {
    return replaced(replace_with(graph, node, "reshape", {x}, shape_attribute(node->output()->shape())));
  }
  // Two transposes with a reshape between them: one transpose, where that is all they do.
  const Node* reshape = producer(x, "reshape");
  if (!reshape || !producer(reshape->input(0), "transpose")) return false;
  Value* y = reshape->input(0);
  const auto before = perm_before_reshape(y->shape(), x->shape(), perm);
  if (!before) return false;
  HR_ASSIGN(Value * moved_y,
            graph.add("transpose", {y}, perm_attribute(*before), stem(node->output()->name()), node));
  return replaced(replace_with(graph, node, "reshape", {moved_y}, shape_attribute(node->output()->shape())));
}

Result<bool> simplify_expand(Graph& graph, Node* node) {
  Value* x = node->input(0);
  const Shape& shape = node->output()->shape();
  if (x->shape() == shape) return replace(graph, node, x), true;
  if (padded(x->shape(), shape.size()) == shape) {
    return replaced(replace_with(graph, node, "reshape", {x}, shape_attribute(shape)));
  }
  if (const Node* inner = producer(x, "expand")) {
    return replaced(replace_with(graph, node, "expand", {inner->input(0)}, node->attributes()));
  }
  return false;
}

namespace {

struct Cut {
  int64_t axis;
  Dim start, stop;
  int64_t step;
};

Cut cut_of(const Node& node) {
  const AttributeMap& at = node.attributes();
  return {at.integer("axis"), at.get<Dim>("start", Dim(0)), at.get<Dim>("stop", Dim(0)),
          at.integer("step", 1)};
}

AttributeMap cut_attributes(const Cut& cut) {
  AttributeMap attributes = slice_attributes(cut.axis, cut.start, cut.stop);
  if (cut.step != 1) attributes.set("step", cut.step);
  return attributes;
}

bool covers(const Cut& cut, const Value& x) {
  return cut.step == 1 && cut.start == Dim(0) && cut.stop == x.shape()[static_cast<size_t>(cut.axis)];
}

// A slice that lies within one part of a concat.
Result<bool> slice_of_concat(Graph& graph, Node* node, const Node& concat, Cut cut) {
  if (concat.attributes().integer("axis") != cut.axis || !cut.start.is_constant()) return false;
  Dim begin = 0;
  for (Value* part : concat.inputs()) {
    const Dim end = begin + part->shape()[static_cast<size_t>(cut.axis)];
    const Dim after_start = cut.start - begin, before_stop = end - cut.stop;
    const bool inside = after_start.is_constant() && after_start.constant() >= 0 &&
                        before_stop.is_constant() && before_stop.constant() >= 0;
    if (inside) {
      cut.start = after_start, cut.stop = cut.stop - begin;
      if (covers(cut, *part)) return replace(graph, node, part), true;
      return replaced(replace_with(graph, node, "slice", {part}, cut_attributes(cut)));
    }
    begin = end;
  }
  return false;
}

}  // namespace

namespace {

// Whether nothing but slices takes `value`: then slicing what it is made of makes no work twice.
bool only_sliced(const Value& value) {
  if (value.is_graph_output()) return false;
  return std::all_of(value.users().begin(), value.users().end(),
                     [](const Node* user) { return user->is("slice"); });
}

// slice(transpose(x)) as transpose(slice(x)).
Result<bool> slice_of_transpose(Graph& graph, Node* node, const Node& transpose, Cut cut) {
  if (!only_sliced(*transpose.output())) return false;
  cut.axis = transpose.attributes().integers("perm")[static_cast<size_t>(cut.axis)];
  HR_ASSIGN(Value * part, graph.add("slice", {transpose.input(0)}, cut_attributes(cut),
                                    stem(node->output()->name()), node));
  return replaced(replace_with(graph, node, "transpose", {part}, transpose.attributes()));
}

// slice(reshape(x)) as reshape(slice(x)), where the slice cuts a dim of x that the reshape keeps, or the
// outermost of the parts of one: query, key and value out of one product.
Result<bool> slice_of_reshape(Graph& graph, Node* node, const Node& reshape, Cut cut) {
  const Value &x = *reshape.input(0), &parted = *reshape.output();
  if (!only_sliced(parted) || cut.step != 1) return false;
  const auto axis = static_cast<size_t>(cut.axis);
  for (const ReshapeGroup& group : reshape_groups(x.shape(), parted.shape())) {
    const size_t end = group.to_begin + group.to_count;
    if (axis < group.to_begin || axis >= end) continue;
    const auto dims = std::span(parted.shape());
    const bool outermost = std::all_of(dims.begin() + static_cast<ptrdiff_t>(group.to_begin),
                                       dims.begin() + static_cast<ptrdiff_t>(axis), is_one);
    if (group.from_count != 1 || !outermost) return false;
    const Dim inner = element_count(dims.subspan(axis + 1, end - axis - 1));
    const Cut outer = {static_cast<int64_t>(group.from_begin), cut.start * inner, cut.stop * inner, 1};
    HR_ASSIGN(Value * part, graph.add("slice", {reshape.input(0)}, cut_attributes(outer),
                                      stem(node->output()->name()), node));
    return replaced(replace_with(graph, node, "reshape", {part}, shape_attribute(node->output()->shape())));
  }
  return false;
}

}  // namespace

Result<bool> simplify_slice(Graph& graph, Node* node) {
  Value* x = node->input(0);
  Cut cut = cut_of(*node);
  if (covers(cut, *x)) return replace(graph, node, x), true;
  if (const Node* concat = producer(x, "concat")) return slice_of_concat(graph, node, *concat, cut);
  if (const Node* inner = producer(x, "slice")) {
    const Cut first = cut_of(*inner);
    if (first.axis != cut.axis || first.step != 1) return false;
    cut.start = first.start + cut.start, cut.stop = first.start + cut.stop;
    return replaced(replace_with(graph, node, "slice", {inner->input(0)}, cut_attributes(cut)));
  }
  if (const Node* transpose = producer(x, "transpose"))
    return slice_of_transpose(graph, node, *transpose, cut);
  if (const Node* reshape = producer(x, "reshape")) return slice_of_reshape(graph, node, *reshape, cut);
  // A slice of what is repeated is repeated fewer times.
  const Node* expand = producer(x, "expand");
  if (!expand) return false;
  Value* small = expand->input(0);
  const int64_t axis = cut.axis - (x->rank() - small->rank());
  if (axis >= 0 && !is_one(small->shape()[static_cast<size_t>(axis)])) return false;
  return replaced(replace_with(graph, node, "expand", {small}, shape_attribute(node->output()->shape())));
}

namespace {

// Neighbouring parts that are neighbouring slices of one value, joined. Empty where there are none.
struct Joined {
  std::vector<Value*> parts;
  bool changed = false;
};

Result<Joined> join_slices(Graph& graph, Node* node, int64_t axis) {
  Joined joined;
  std::optional<Cut> last;  // the cut of joined.parts.back()
  Value* of = nullptr;
  for (Value* part : node->inputs()) {
    const Node* slice = producer(part, "slice");
    const auto cut = slice ? std::optional(cut_of(*slice)) : std::nullopt;
    const bool usable = cut && cut->axis == axis && cut->step == 1;
    if (usable && last && of == slice->input(0) && last->stop == cut->start) {
      last->stop = cut->stop;
      HR_ASSIGN(joined.parts.back(),
                graph.add("slice", {of}, cut_attributes(*last), stem(part->name()), node));
      joined.changed = true;
      continue;
    }
    joined.parts.push_back(part);
    last = usable ? cut : std::nullopt;
    of = usable ? slice->input(0) : nullptr;
  }
  return joined;
}

}  // namespace

Result<bool> simplify_concat(Graph& graph, Node* node) {
  if (node->inputs().size() == 1) return replace(graph, node, node->input(0)), true;
  const int64_t axis = node->attributes().integer("axis");
  std::vector<Value*> flat;
  for (Value* part : node->inputs()) {
    const Node* inner = producer(part, "concat");
    const Dim& size = part->shape()[static_cast<size_t>(axis)];
    if (inner && inner->attributes().integer("axis") == axis && only_use(part)) {
      flat.insert(flat.end(), inner->inputs().begin(), inner->inputs().end());
    } else if (!(size.is_constant() && size.constant() == 0)) {
      flat.push_back(part);
    }
  }
  if (!flat.empty() && flat != node->inputs()) {
    return replaced(replace_with(graph, node, "concat", flat, node->attributes()));
  }
  HR_ASSIGN(const Joined joined, join_slices(graph, node, axis));
  if (!joined.changed) return false;
  return replaced(replace_with(graph, node, "concat", joined.parts, node->attributes()));
}

Result<bool> simplify_pad(Graph& graph, Node* node) {
  const auto none = [](const std::vector<int64_t>& sizes) {
    return std::all_of(sizes.begin(), sizes.end(), [](int64_t size) { return size == 0; });
  };
  if (!none(node->attributes().integers("low")) || !none(node->attributes().integers("high"))) return false;
  return replace(graph, node, node->input(0)), true;
}

}  // namespace headrace::passes
