// fuse_pointwise: element-wise ops of one shape that feed each other become one `pointwise`, which reads each
// operand once and keeps what lies between in registers.
//
// A group grows from its last op upwards. An op joins where all its users are in the group, or where those
// outside come after the group's last op (its value is then stored too). Since the group stands at its last
// op, all its operands are there by then and no cycle can form.
#include <algorithm>
#include <map>
#include <set>

#include "passes/pass_list.h"
#include "passes/rewrite.h"

namespace headrace::passes {
namespace {

using Order = std::map<const Node*, int64_t>;

struct Group {
  std::vector<Node*> nodes;  // in graph order
  std::vector<Value*> inputs;
  std::vector<Value*> results;
};

bool fusable(const Node* node) {
  if (!node || !is_pointwise(*node) || is_constant(node->output())) return false;
  return !node->output()->users().empty() || node->output()->is_graph_output();
}

class Fuser {
 public:
  Fuser(Graph& graph, int max_inputs)
      : graph_(graph), max_inputs_(static_cast<size_t>(std::max(max_inputs, 1))) {
    for (Node* node : snapshot(graph)) order_.emplace(node, static_cast<int64_t>(order_.size()));
  }

  Result<bool> run() {
    bool changed = false;
    const std::vector<Node*> nodes = snapshot(graph_);
    std::vector<Group> groups;
    for (auto node = nodes.rbegin(); node != nodes.rend(); ++node) {
      if (!fusable(*node) || taken_.count(*node)) continue;
      Group group = grow(*node);
      for (const Node* member : group.nodes) taken_.insert(member);
      if (group.nodes.size() > 1) groups.push_back(std::move(group));
    }
    for (const Group& group : groups) {
      HR_TRY(emit(group));
      changed = true;
    }
    return changed;
  }

 private:
  Group grow(Node* last) const {
    std::set<Node*> members = {last};
    // Later ops first: when one is looked at, all of its users that can be members are.
    const auto earlier = [this](Node* a, Node* b) { return order_.at(a) < order_.at(b); };
    std::set<Node*, decltype(earlier)> candidates(earlier);
    const auto add_candidates = [&](const Node* node) {
      for (const Value* input : node->inputs())
        if (input && fusable(input->producer()) && !taken_.count(input->producer()))
          candidates.insert(input->producer());
    };
    add_candidates(last);
    while (!candidates.empty()) {
      Node* node = *candidates.rbegin();
      candidates.erase(node);
      if (members.count(node) || node->output()->shape() != last->output()->shape()) continue;
      if (!users_allow(*node, *last, members)) continue;
      members.insert(node);
      if (describe(members).inputs.size() > max_inputs_) {
        members.erase(node);
        continue;
      }
      add_candidates(node);
    }
    return describe(members);
  }

  bool users_allow(const Node& node, const Node& last, const std::set<Node*>& members) const {
    const Value* value = node.output();
    return std::all_of(value->users().begin(), value->users().end(),
                       [&](Node* user) { return members.count(user) || order_.at(user) > order_.at(&last); });
  }

  Group describe(const std::set<Node*>& members) const {
    Group group;
    group.nodes.assign(members.begin(), members.end());
    std::sort(group.nodes.begin(), group.nodes.end(),
              [this](Node* a, Node* b) { return order_.at(a) < order_.at(b); });
    for (Node* node : group.nodes) {
      for (Value* input : node->inputs()) {
        const bool inside = input->producer() && members.count(input->producer());
        const bool known = std::find(group.inputs.begin(), group.inputs.end(), input) != group.inputs.end();
        if (!inside && !known) group.inputs.push_back(input);
      }
      const Value* value = node->output();
      const bool outside = std::any_of(value->users().begin(), value->users().end(),
                                       [&](Node* user) { return !members.count(user); });
      if (outside || value->is_graph_output()) group.results.push_back(node->output());
    }
    return group;
  }

  static PointwiseProgram program_of(const Group& group) {
    PointwiseProgram program;
    std::map<const Value*, int> registers;
    for (const Value* input : group.inputs) {
      registers.emplace(input, static_cast<int>(registers.size()));
      program.inputs.push_back(input->dtype());
    }
    for (const Node* node : group.nodes) {
      PointwiseInstruction instruction{node->op()->pointwise->function, node->output()->dtype(), {}};
      for (const Value* input : node->inputs()) instruction.operands.push_back(registers.at(input));
      program.instructions.push_back(std::move(instruction));
      registers.emplace(node->output(), static_cast<int>(registers.size()));
    }
    for (const Value* result : group.results) program.results.push_back(registers.at(result));
    return program;
  }

  Status emit(const Group& group) {
    Node* last = group.nodes.back();
    const std::string name = last->output()->name();
    HR_ASSIGN(Node * fused, graph_.add(ir::find_op("pointwise"), group.inputs,
                                       {{"program", program_of(group).text()}}, name, last));
    std::vector<std::string> names;
    for (size_t i = 0; i < group.results.size(); ++i) {
      names.push_back(group.results[i]->name());
      graph_.replace_uses(group.results[i], fused->output(i));
    }
    for (auto node = group.nodes.rbegin(); node != group.nodes.rend(); ++node) {
      merge_sources(fused, **node);
      graph_.erase(*node);
    }
    for (size_t i = 0; i < names.size(); ++i) graph_.rename(fused->output(i), std::move(names[i]));
    return {};
  }

  Graph& graph_;
  size_t max_inputs_;
  Order order_;
  std::set<const Node*> taken_;
};

}  // namespace

Result<bool> fuse_pointwise(Graph& graph, const PassContext& context) {
  if (!context.options.preferences.fuse_pointwise) return false;
  return Fuser(graph, context.options.preferences.max_pointwise_inputs).run();
}

}  // namespace headrace::passes
