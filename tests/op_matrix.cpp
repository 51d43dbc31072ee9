// headrace_op_matrix [--check] PAGE: writes the page that says which back end runs which op, and why not, or
// checks that it is up to date. The lowerings are asked, about every conformance case (tests/op_cases) in
// every dtype that the IR allows. The column of a back end that this build lacks stays as the page has it.
#include <cstdio>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "app/backends.h"
#include "ir/graph.h"
#include "op_cases.h"

namespace headrace::test {
namespace {

constexpr std::string_view kBackends[] = {"reference", "cpu", "cuda"};
constexpr const char* kHead =
    "# Ops and back ends\n\n"
    "What the back ends say they run, asked of their lowerings for every conformance case in "
    "`tests/op_cases` and every dtype\n"
    "that [the IR](ir.md) allows the op. \"all\": of all those dtypes, in all forms. A column may list "
    "dtypes, and says why not.\n"
    "The `reference` back end is the oracle of the tests: slow, and complete. `cuda` is asked for "
    "`sm_90`.\n\n"
    "Written by `./dev docs`; do not edit.\n\n";

// What a back end answered about one op.
struct Answer {
  std::set<DType> works;                           // in one form at least
  std::map<std::string, std::set<DType>> why_not;  // the dtype in the sentence is written T
};
struct Row {
  std::set<DType> dtypes;
  std::map<std::string_view, Answer> answers;
};

std::string names(const std::set<DType>& dtypes) {
  std::vector<std::string_view> list;
  for (const DType dtype : dtypes) list.push_back(dtype_name(dtype));
  return fmt::format("{}", fmt::join(list, ", "));
}

// The operand whose dtype is the case's own: a mask or an index has another.
std::optional<DType> own_dtype(const OpCase& test) {
  std::optional<DType> own;
  for (const OpOperand& operand : test.operands) {
    if (operand.kind == OpOperand::Kind::kAbsent) continue;
    if (!own || (*own == DType::kBool && operand.dtype != DType::kBool)) own = operand.dtype;
    if (*own != DType::kBool) break;
  }
  return own;
}

OpCase in_dtype(const OpCase& test, DType from, DType to) {
  OpCase variant = test;
  for (OpOperand& operand : variant.operands) {
    if (operand.dtype != from) continue;
    operand.dtype = to;
    if (from != to) operand.low = 0, operand.high = 1, operand.special = false;
  }
  return variant;
}

std::string replace_first(std::string text, std::string_view what, std::string_view by) {
  const size_t at = text.find(what);
  return at == text.npos ? text : text.replace(at, what.size(), by);
}

using Lowerings = std::map<std::string_view, std::unique_ptr<Lowering>>;

void ask(const Lowerings& lowerings, const OpCase& test, DType dtype, Row& row) {
  const Result<ir::Graph> graph = ir::parse(graph_text(test));
  if (!graph.ok()) return;  // the IR does not allow this dtype
  for (const auto& node : graph->nodes()) {
    if (node->op()->name != test.op || ir::is_weight_only(*node)) continue;
    row.dtypes.insert(dtype);
    for (const auto& [name, lowering] : lowerings) {
      const Support support = lowering->supports(*node);
      Answer& answer = row.answers[name];
      if (support.ok())
        answer.works.insert(dtype);
      else
        answer.why_not[replace_first(*support.why_not, fmt::format(" of {} ", dtype_name(dtype)), " of T ")]
            .insert(dtype);
    }
  }
}

std::string cell(const Row& row, const Answer& answer) {
  if (answer.why_not.empty()) return "all";
  std::vector<std::string> reasons;
  for (const auto& [text, dtypes] : answer.why_not)
    reasons.push_back(replace_first(text, " of T ", fmt::format(" of {} ", names(dtypes))));
  const std::string works = answer.works.empty()         ? "no"
                            : answer.works == row.dtypes ? "all"
                                                         : names(answer.works);
  std::string text = fmt::format("{}; but: {}", works, fmt::join(reasons, "; "));
  for (size_t at = 0; (at = text.find('|', at)) != text.npos; at += 2) text.insert(at, "\\");
  return text;
}

// The cells of the column `backend`, by op.
std::map<std::string, std::string> column(const std::string& page, std::string_view backend) {
  std::map<std::string, std::string> cells;
  std::optional<size_t> index;
  std::istringstream lines(page);
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with("| ")) continue;
    std::vector<std::string> fields;
    for (size_t start = 2, end; (end = line.find(" |", start)) != line.npos; start = end + 3)
      fields.push_back(line.substr(start, end - start));
    if (!index) index = std::find(fields.begin(), fields.end(), backend) - fields.begin();
    if (*index < fields.size()) cells[fields[0]] = fields[*index];
  }
  return cells;
}

std::string make_page(const std::string& old) {
  Lowerings lowerings;
  for (const std::string_view name : kBackends) {
    const std::string device = name == "cuda" ? "cuda:sm_90" : std::string(name);
    const Result<app::DeviceName> parsed = app::parse_device(device);
    if (!parsed.ok()) continue;
    Result<app::BuildBackend> backend = app::make_build_backend(*parsed);
    if (backend.ok()) lowerings[name] = std::move(backend->lowering);
  }
  std::map<std::string, Row> rows;
  for (const OpCase& test : read_op_cases()) {
    if (test.op == "graph") continue;
    Row& row = rows[test.op];
    const std::optional<DType> own = own_dtype(test);
    if (!own) {
      ask(lowerings, test, DType::kI64, row);
      row.dtypes.clear();  // without operands there is none to try
      continue;
    }
    for (int i = 0; i < kDTypeCount; ++i) {
      const DType dtype = static_cast<DType>(i);
      ask(lowerings, in_dtype(test, *own, dtype), dtype, row);
    }
  }
  std::string page = kHead;
  page += fmt::format("| op | dtypes | {} |\n|---|---|---|---|---|\n", fmt::join(kBackends, " | "));
  for (const auto& [op, row] : rows) {
    page += fmt::format("| {} | {} |", op,
                        static_cast<int>(row.dtypes.size()) == kDTypeCount ? "all" : names(row.dtypes));
    for (const std::string_view backend : kBackends) {
      if (lowerings.contains(backend)) {
        const auto answer = row.answers.find(backend);
        page +=
            fmt::format(" {} |", answer == row.answers.end() ? "when building" : cell(row, answer->second));
      } else {
        const auto cells = column(old, backend);
        const auto kept = cells.find(op);
        page += fmt::format(" {} |", kept == cells.end() ? "not asked yet" : kept->second);
      }
    }
    page += "\n";
  }
  return page;
}

}  // namespace
}  // namespace headrace::test

int main(int argc, char** argv) {
  const bool check = argc == 3 && std::string_view(argv[1]) == "--check";
  if (argc != 2 && !check) {
    std::fprintf(stderr, "usage: headrace_op_matrix [--check] PAGE\n");
    return 2;
  }
  const char* const path = argv[argc - 1];
  std::ostringstream old;
  old << std::ifstream(path).rdbuf();
  const std::string page = headrace::test::make_page(old.str());
  if (!check) return std::ofstream(path) << page ? 0 : 1;
  if (page == old.str()) return 0;
  std::fprintf(stderr, "%s is not what the back ends say now; run ./dev docs\n", path);
  return 1;
}
