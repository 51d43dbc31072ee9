// fuse_pointwise: element-wise ops of one shape that feed each other, or are fed by one, become one
// `pointwise`, which reads each operand once and keeps what lies between in registers.
//
// A group grows from its last op upwards. An op joins where all its users are in the group, or where those
// outside come after the group's last op (its value is then stored too). Where other users come before that,
// they join as well, with all that they lead to; what only moves elements may also be put off until after the
// group. Since the group stands at its last op, all its operands are there by then and no cycle can form. A
// cast of something smaller joins where nobody else wants it.
//
// A result that concatenations take more than once is given once for each, so that each can be written where
// it goes.
#include <algorithm>
#include <map>
#include <set>

#include "passes/pass_list.h"
#include "passes/rewrite.h"

namespace headrace::passes {
namespace {

using Order = std::map<const Node*, int64_t>;

struct Piece {  // an input of a concat
  Node* concat;
  size_t index;
};

struct Group {
  std::vector<Node*> nodes;  // in graph order
  std::vector<Node*> moved;  // to behind the group; in graph order
  std::vector<Value*> inputs;
  std::vector<Value*> results;
  std::vector<std::pair<size_t, Piece>> copies;  // of a result, by index: for concats that take it once more
};

bool only_moves(const Node& node) {
  return node.is("reshape") || node.is("transpose") || node.is("slice") || node.is("expand") ||
         node.is("concat");
}

// The uses of `value` that want its elements at one more place.
std::vector<Piece> further_pieces(const Value& value) {
  std::vector<Piece> pieces;
  for (Node* user : value.users()) {
    if (!user->is("concat") ||
        std::any_of(pieces.begin(), pieces.end(), [&](const Piece& piece) { return piece.concat == user; }))
      continue;
    for (size_t i = 0; i < user->inputs().size(); ++i)
      if (user->input(i) == &value) pieces.push_back({user, i});
  }
  if (!pieces.empty() && !value.is_graph_output()) pieces.erase(pieces.begin());
  return pieces;
}

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
      for (size_t i = 0; i < group.results.size(); ++i)
        for (const Piece& piece : further_pieces(*group.results[i])) group.copies.emplace_back(i, piece);
      if (group.nodes.size() > 1 || !group.copies.empty()) groups.push_back(std::move(group));
    }
    for (const Group& group : groups) {
      HR_TRY(emit(group));
      changed = true;
    }
    return changed;
  }

 private:
  // What comes before the group's last op and is led to by one of its values: more ops for the group, and
  // what only moves elements and can be put off until after it.
  struct Led {
    std::set<Node*> ops, moved;
  };

  Group grow(Node* last) const {
    std::set<Node*> members = {last}, moved;
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
      if (members.count(node) || !fits(*node, *last, members)) continue;
      const auto led = led_to(*node, *last, members);
      if (!led) continue;
      std::set<Node*> more = members;
      more.insert(node);
      more.insert(led->ops.begin(), led->ops.end());
      const Group group = describe(more);
      if (group.inputs.size() > max_inputs_ || group.results.size() > max_inputs_) continue;
      members = std::move(more);
      moved.insert(led->moved.begin(), led->moved.end());
      add_candidates(node);
      for (const Node* op : led->ops) add_candidates(op);
    }
    Group group = describe(members);
    group.moved = in_order(moved);
    return group;
  }

  // Of the shape of the group; or a cast of less for the group alone, which costs little to do again.
  static bool fits(const Node& node, const Node& last, const std::set<Node*>& members) {
    const Value* value = node.output();
    if (value->shape() == last.output()->shape()) return true;
    return node.is("cast") && broadcasts_to(value->shape(), last.output()->shape()) &&
           !value->is_graph_output() &&
           std::all_of(value->users().begin(), value->users().end(),
                       [&](Node* user) { return members.count(user) > 0; });
  }

  // nullopt where something comes before `last` that can be neither.
  std::optional<Led> led_to(const Node& node, const Node& last, const std::set<Node*>& members) const {
    Led led;
    std::vector<std::pair<Node*, bool>> pending;  // with whether it was reached by a move
    const auto add_users = [&](const Node* of, bool moves) {
      for (Node* user : of->output()->users()) pending.emplace_back(user, moves);
    };
    add_users(&node, false);
    while (!pending.empty()) {
      const auto [user, after_move] = pending.back();
      pending.pop_back();
      if (order_.at(user) > order_.at(&last) || led.moved.count(user)) continue;
      if (only_moves(*user)) {
        led.moved.insert(user);
        add_users(user, true);
        continue;
      }
      if (after_move) return std::nullopt;
      if (members.count(user) || led.ops.count(user)) continue;
      const bool joins =
          fusable(user) && !taken_.count(user) && user->output()->shape() == last.output()->shape();
      if (!joins) return std::nullopt;
      led.ops.insert(user);
      add_users(user, false);
    }
    return led;
  }

  std::vector<Node*> in_order(const std::set<Node*>& nodes) const {
    std::vector<Node*> sorted(nodes.begin(), nodes.end());
    std::sort(sorted.begin(), sorted.end(), [this](Node* a, Node* b) { return order_.at(a) < order_.at(b); });
    return sorted;
  }

  Group describe(const std::set<Node*>& members) const {
    Group group;
    group.nodes = in_order(members);
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
    for (const auto& [result, piece] : group.copies) program.results.push_back(program.results[result]);
    return program;
  }

  Status emit(const Group& group) {
    Node* last = group.nodes.back();
    const std::string name = last->output()->name();
    HR_ASSIGN(Node * fused, graph_.add(ir::find_op("pointwise"), group.inputs,
                                       {{"program", program_of(group).text()}}, name, last));
    for (Node* node : group.moved)
      if (graph_.precedes(node, last)) graph_.move_before(node, last);
    for (size_t i = 0; i < group.copies.size(); ++i) {
      const Piece& piece = group.copies[i].second;
      graph_.set_input(piece.concat, piece.index, fused->output(group.results.size() + i));
    }
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
