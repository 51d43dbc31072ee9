#include "frontend/io_names.h"

#include <algorithm>

#include "frontend/json.h"

namespace headrace::frontend {
namespace {

constexpr int kDeepest = 64;

// A pytree's node: {"type": …, "context": "[\"a\", \"b\"]", "children_spec": […]}; a leaf has no type.
struct Tree {
  bool leaf = true;
  std::vector<std::string> keys;  // one a child, or none
  std::vector<Tree> children;
};

// The context of a dict and the like is a list of its keys, as JSON in a string.
std::vector<std::string> read_keys(std::string_view context) {
  std::vector<std::string> keys;
  simdjson::dom::parser parser;
  JsonErrors errors;
  const Result<Json> json = parse_json(parser, context, errors);
  if (!json.ok() || !context.starts_with('[')) return keys;
  json->each_item([&](const Json& key) { keys.emplace_back(key.text()); });
  return errors.first.ok() ? keys : std::vector<std::string>();
}

Tree read_tree(const Json& json, int depth) {
  Tree tree;
  tree.leaf = !json["type"].present();
  if (tree.leaf || depth > kDeepest) return tree;
  json["children_spec"].each_item(
      [&](const Json& child) { tree.children.push_back(read_tree(child, depth + 1)); });
  tree.keys = read_keys(json["context"].text("null"));
  if (tree.keys.size() != tree.children.size()) tree.keys.clear();
  return tree;
}

// The text is "[1, tree]", 1 its version.
Tree read_spec(const std::string& text) {
  Tree tree;
  simdjson::dom::parser parser;
  JsonErrors errors;
  const Result<Json> json = parse_json(parser, text, errors);
  if (!json.ok() || !text.starts_with('[')) return tree;
  int index = 0;
  json->each_item([&](const Json& item) {
    if (index++ == 1) tree = read_tree(item, 0);
  });
  return tree;
}

void add_leaves(const Tree& tree, const std::string& path, std::vector<std::string>& names) {
  if (tree.leaf) {
    names.push_back(path);
    return;
  }
  for (size_t i = 0; i < tree.children.size(); ++i) {
    std::string child = fmt::format("{}[{}]", path, i);
    if (!tree.keys.empty()) child = path.empty() ? tree.keys[i] : path + "." + tree.keys[i];
    add_leaves(tree.children[i], child, names);
  }
}

}  // namespace

std::vector<std::string> input_names(const ExportedProgram& program) {
  const Tree root = read_spec(program.in_spec);  // (args, kwargs)
  std::vector<std::string> names;
  if (root.children.size() != 2) return names;
  const Tree &args = root.children[0], &kwargs = root.children[1];
  for (size_t i = 0; i < args.children.size(); ++i) {
    if (i >= program.forward_arg_names.size()) return {};
    add_leaves(args.children[i], program.forward_arg_names[i], names);
  }
  if (kwargs.keys.size() != kwargs.children.size()) return {};
  for (size_t i = 0; i < kwargs.children.size(); ++i) add_leaves(kwargs.children[i], kwargs.keys[i], names);
  return names;
}

std::vector<std::string> output_names(const ExportedProgram& program) {
  const auto count = static_cast<size_t>(std::count_if(
      program.outputs.begin(), program.outputs.end(),
      [](const OutputSpecEntry& output) { return output.kind == OutputSpecEntry::Kind::kUserOutput; }));
  const Tree root = read_spec(program.out_spec);
  std::vector<std::string> names;
  if (!root.keys.empty()) add_leaves(root, "", names);
  if (names.size() == count) return names;
  names.clear();
  for (size_t i = 0; i < count; ++i) names.push_back(i == 0 ? "output" : fmt::format("output_{}", i));
  return names;
}

}  // namespace headrace::frontend
