// fuse_epilogues: what a matmul or conv can do on its way out, as the back end's preferences have it. The op
// computes epilogue(a·b + bias + residual), so a residual that comes after the activation stays outside.
#include <algorithm>

#include "passes/pass_list.h"
#include "passes/rewrite.h"

namespace headrace::passes {
namespace {

// The matmul or conv that makes `value`, where that can still take something in.
Node* open_product(const Value* value) {
  Node* node = producer(value, "matmul");
  if (!node) node = producer(value, "conv");
  const bool open =
      node && node->attributes().text("epilogue").empty() && only_use(value) && !ir::is_weight_only(*node);
  return open ? node : nullptr;
}

std::vector<Value*> inputs_with_residual(const Node& node, Value* residual) {
  return {node.input(0), node.input(1), node.input(2), residual};
}

// The product goes to the place of the add: by then its residual is there.
Result<bool> fuse_residual(Graph& graph, Node* add) {
  Node* chosen = nullptr;
  Value* residual = nullptr;
  for (const size_t side : {size_t{0}, size_t{1}}) {
    Value *product = add->input(side), *other = add->input(1 - side);
    Node* node = open_product(product);
    if (!node || node->input(3) || other->type() != product->type()) continue;
    // Of two products the later takes the earlier in, so that neither waits.
    if (chosen && !graph.precedes(chosen, node)) continue;
    chosen = node, residual = other;
  }
  if (!chosen) return false;
  return replaced(replace_with(graph, add, chosen->op()->name, inputs_with_residual(*chosen, residual),
                               chosen->attributes()));
}

Result<bool> fuse_function(Graph& graph, Node* node) {
  Node* product = open_product(node->input(0));
  if (!product || product->output()->dtype() != node->output()->dtype()) return false;
  AttributeMap attributes = product->attributes();
  attributes.set("epilogue", std::string(node->op()->name));
  return replaced(replace_with(graph, node, product->op()->name, product->inputs(), attributes));
}

}  // namespace

Result<bool> fuse_epilogues(Graph& graph, const PassContext& context) {
  const ir::Preferences& likes = context.options.preferences;
  bool changed = false;
  for (Node* node : snapshot(graph)) {
    bool here = false;
    if (node->is("add") && likes.fuse_residual) {
      HR_ASSIGN(here, fuse_residual(graph, node));
    } else if (is_pointwise(*node) && node->inputs().size() == 1 &&
               std::find(likes.epilogues.begin(), likes.epilogues.end(), node->op()->name) !=
                   likes.epilogues.end()) {
      HR_ASSIGN(here, fuse_function(graph, node));
    }
    changed |= here;
  }
  return changed;
}

}  // namespace headrace::passes
