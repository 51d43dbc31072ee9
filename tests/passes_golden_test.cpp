// Golden tests: tests/golden/passes/<pass>.ir holds cases of one pass, text in and text out; pipeline.ir of
// all. UPDATE_GOLDEN=1 in the environment writes what came out; read the diff then.
//
// A file is cases with `// ----` between; a case is comments (`// likes: a, b` names the preferences it runs
// with, `// precision: bf16` the precision), the graph, `// =>`, and the graph after, or `unchanged`. Dead
// code is eliminated after the pass.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "app/literal_evaluator.h"
#include "graph_runner.h"
#include "passes/passes.h"

namespace headrace::passes {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kBetween = "// ----\n", kArrow = "// =>\n", kPipeline = "pipeline";

std::string read_file(const fs::path& path) {
  std::ifstream in(path);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

std::vector<std::string> split(const std::string& text, std::string_view by) {
  std::vector<std::string> parts;
  size_t begin = 0;
  for (size_t at; (at = text.find(by, begin)) != std::string::npos; begin = at + by.size())
    parts.push_back(text.substr(begin, at - begin));
  parts.push_back(text.substr(begin));
  return parts;
}

// The rest of the line that starts with `key`; empty where there is none.
std::string setting(const std::string& text, std::string_view key) {
  const size_t at = text.find(key);
  if (at == std::string::npos) return "";
  const size_t begin = at + key.size();
  return text.substr(begin, text.find('\n', begin) - begin);
}

PassOptions options_of(const std::string& text) {
  PassOptions options;
  options.verify = true;
  options.evaluate = app::evaluate_literals;
  const std::string likes = setting(text, "// likes: ");
  const auto has = [&](std::string_view name) {
    return likes.empty() || likes.find(name) != std::string::npos;
  };
  ir::Preferences& preferences = options.preferences;
  preferences.channels_last = has("channels_last");
  if (likes.find("f32_planes") != std::string::npos) preferences.planes = {DType::kF32};
  preferences.fuse_pointwise = has("fuse_pointwise");
  preferences.fuse_attention = has("fuse_attention");
  preferences.fuse_norm = has("fuse_norm");
  preferences.join_matmuls = has("join_matmuls");
  preferences.fuse_residual = has("fuse_residual");
  if (has("epilogues")) preferences.epilogues = {"relu", "gelu", "silu"};
  if (const std::string inputs = setting(text, "// inputs: "); !inputs.empty())
    preferences.max_pointwise_inputs = std::stoi(inputs);
  const std::string precision = setting(text, "// precision: ");
  if (precision == "bf16") options.precision = Precision::kBF16;
  if (precision == "f32") options.precision = Precision::kF32;
  return options;
}

const PassInfo& pass_named(std::string_view name) {
  const auto passes = all_passes();
  return *std::find_if(passes.begin(), passes.end(), [&](auto& pass) { return pass.name == name; });
}

// The text after the pass, "unchanged", or the error.
std::string run_case(const std::string& pass, const std::string& text) {
  auto graph = ir::parse(text);
  if (!graph.ok()) return "does not parse: " + graph.status().message() + "\n";
  const std::string before = ir::print(*graph);
  const PassOptions options = options_of(text);
  if (pass == kPipeline) {
    const auto times = run_passes(*graph, options);
    return times.ok() ? ir::print(*graph) : "error: " + times.status().message() + "\n";
  }
  const auto changed = pass_named(pass).run(*graph, PassContext{options});
  if (!changed.ok()) return "error: " + changed.status().message() + "\n";
  if (*changed != (ir::print(*graph) != before)) return "says wrongly whether it changed\n";
  const auto cleaned = pass_named("eliminate_dead_code").run(*graph, PassContext{options});
  if (!cleaned.ok()) return "error: " + cleaned.status().message() + "\n";
  if (const Status valid = ir::verify(*graph); !valid.ok()) return "invalid: " + valid.message() + "\n";
  const std::string after = ir::print(*graph);
  return after == before ? "unchanged\n" : after;
}

class PassGolden : public ::testing::TestWithParam<std::string> {};

TEST_P(PassGolden, GivesTheTextInTheFile) {
  const fs::path path = fs::path(HEADRACE_SOURCE_DIR) / "tests/golden/passes" / (GetParam() + ".ir");
  const std::string file = read_file(path);
  ASSERT_FALSE(file.empty()) << path;
  std::string updated;
  for (const std::string& one : split(file, kBetween)) {
    const std::vector<std::string> sides = split(one, kArrow);
    const std::string result = run_case(GetParam(), sides[0]);
    if (!updated.empty()) updated += kBetween;
    updated += sides[0] + std::string(kArrow) + result;
    if (!std::getenv("UPDATE_GOLDEN")) {
      EXPECT_EQ(result, sides.size() > 1 ? sides[1] : "") << sides[0];
    }
  }
  if (std::getenv("UPDATE_GOLDEN")) std::ofstream(path) << updated;
}

std::vector<std::string> pass_names() {
  std::vector<std::string> names = {std::string(kPipeline)};
  for (const PassInfo& pass : all_passes()) names.emplace_back(pass.name);
  return names;
}

INSTANTIATE_TEST_SUITE_P(Each, PassGolden, ::testing::ValuesIn(pass_names()),
                         [](const auto& info) { return info.param; });

// docs/ir.md has a row a pass, in their order.
TEST(Passes, AreListedInTheDocs) {
  std::string rows = "| pass | what it does |\n|---|---|\n";
  for (const PassInfo& pass : all_passes()) rows += fmt::format("| {} | {} |\n", pass.name, pass.doc);
  const std::string page = read_file(fs::path(HEADRACE_SOURCE_DIR) / "docs/ir.md");
  EXPECT_NE(page.find(rows + "\n"), std::string::npos) << "docs/ir.md must have:\n" << rows;
}

}  // namespace
}  // namespace headrace::passes
