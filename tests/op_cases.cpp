#include "op_cases.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <fmt/format.h>

#include <headrace/dtype.h>
#include "core/shape.h"

namespace headrace::test {

namespace {

[[noreturn]] void fail(const std::string& message) {
  std::fprintf(stderr, "op cases: %s\n", message.c_str());
  std::abort();
}

std::string strip(std::string_view text) {
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.front()))) text.remove_prefix(1);
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.back()))) text.remove_suffix(1);
  return std::string(text);
}

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  while (!text.empty()) {
    const size_t end = std::min(text.find(separator), text.size());
    parts.push_back(strip(text.substr(0, end)));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return parts;
}

bool is_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; }

std::string replace_word(const std::string& text, const std::string& word, const std::string& by) {
  std::string result;
  for (size_t i = 0; i < text.size();) {
    const size_t end = i + word.size();
    const bool whole = text.compare(i, word.size(), word) == 0 && (i == 0 || !is_word(text[i - 1])) &&
                       (end >= text.size() || !is_word(text[end]));
    result += whole ? by : text.substr(i, 1);
    i = whole ? end : i + 1;
  }
  return result;
}

Dim parse_dim(const std::string& text) {
  Result<Dim> dim = Dim::parse(text);
  if (!dim.ok()) fail(dim.status().message());
  return *dim;
}

OpOperand parse_operand(const std::string& text) {
  OpOperand operand;
  if (text == "_") {
    operand.kind = OpOperand::Kind::kAbsent;
    return operand;
  }
  size_t start = 0;
  if (text[0] == '@' || text[0] == '=') {
    operand.kind = text[0] == '@' ? OpOperand::Kind::kWeight : OpOperand::Kind::kLiteral;
    start = 1;
  }
  const size_t open = text.find('['), close = text.find(']');
  if (open == std::string::npos || close == std::string::npos) fail("operand " + text);
  const std::optional<DType> dtype = parse_dtype(text.substr(start, open - start));
  if (!dtype) fail("operand " + text);
  operand.dtype = *dtype;
  for (const std::string& size : split(text.substr(open + 1, close - open - 1), ','))
    operand.shape.push_back(parse_dim(size));
  operand.low = is_float(*dtype) ? -2 : *dtype == DType::kU8 ? 0 : -5;
  operand.high = is_float(*dtype) ? 2 : *dtype == DType::kU8 ? 10 : 5;
  if (close + 1 == text.size()) return operand;
  const std::string range = text.substr(close + 2);
  operand.special = range == "special";
  if (const size_t dots = range.find(".."); dots != std::string::npos) {
    operand.low = std::stod(range.substr(0, dots));
    operand.high = std::stod(range.substr(dots + 2));
  }
  return operand;
}

// Operands are separated by spaces, and may have spaces in their brackets.
std::vector<OpOperand> parse_operands(const std::string& text) {
  std::vector<OpOperand> operands;
  std::string word;
  int depth = 0;
  for (const char c : text + " ") {
    depth += (c == '[') - (c == ']');
    if (c != ' ' || depth > 0) {
      word += c;
    } else if (!word.empty()) {
      operands.push_back(parse_operand(word));
      word.clear();
    }
  }
  return operands;
}

std::vector<DimBindings> parse_bindings(const std::string& text) {
  std::vector<DimBindings> all;
  for (const std::string& one : split(text, ';')) {
    DimBindings bindings;
    for (const std::string& pair : split(one, ',')) {
      const size_t equals = pair.find('=');
      bindings[pair.substr(0, equals)] = std::stoll(pair.substr(equals + 1));
    }
    all.push_back(std::move(bindings));
  }
  return all;
}

size_t closing_brace(const std::string& text, size_t start) {
  bool quoted = false;
  for (size_t i = start; i < text.size(); ++i) {
    if (text[i] == '"') quoted = !quoted;
    if (text[i] == '}' && !quoted) return i;
  }
  fail("no closing brace in " + text);
}

OpCase parse_case(const std::string& op, std::string id, const std::string& rest,
                  const std::vector<std::string>& body) {
  OpCase test{std::move(id), op, rest, {}, {}, {}, {}};
  for (const std::string& line : body) test.text += "\n" + line;
  const size_t open = rest.find('{');
  size_t tail_start = open != std::string::npos
                          ? closing_brace(rest, open) + 1
                          : std::min(std::min(rest.find("->"), rest.find("with ")), rest.size());
  const std::string attributes = open != std::string::npos ? " " + rest.substr(open, tail_start - open) : "";
  test.operands = parse_operands(rest.substr(0, std::min(open, tail_start)));
  std::string tail = rest.substr(tail_start);
  test.bindings = {{}};
  if (const size_t with = tail.find("with "); with != std::string::npos) {
    test.bindings = parse_bindings(tail.substr(with + 5));
    tail = tail.substr(0, with);
  }
  const size_t arrow = tail.find("->");
  const int outputs = arrow == std::string::npos ? 1 : std::stoi(tail.substr(arrow + 2));
  if (op == "graph") {
    test.lines.assign(body.begin(), body.end() - 1);
    test.results = split(strip(body.back()).substr(std::string_view("return ").size()), ',');
    return test;
  }
  std::string inputs;
  for (size_t i = 0; i < test.operands.size(); ++i)
    inputs +=
        (i ? ", " : "") + (test.operands[i].kind == OpOperand::Kind::kAbsent ? "_" : fmt::format("%x{}", i));
  for (int i = 0; i < outputs; ++i) test.results.push_back(fmt::format("%y{}", i));
  test.lines = {fmt::format("  {} = {}({}){}", fmt::join(test.results, ", "), op, inputs, attributes)};
  return test;
}

void read_file(const std::filesystem::path& path, std::vector<OpCase>& cases) {
  std::ifstream file(path);
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  for (size_t i = 0; i < lines.size();) {
    const std::string line = lines[i++];
    if (strip(line).empty() || line[0] == '#') continue;
    std::vector<std::string> body;
    while (i < lines.size() && !lines[i].empty() && lines[i][0] == ' ') body.push_back(lines[i++]);
    const size_t colon = line.find(':');
    std::string head = line.substr(0, colon), dtypes;
    if (const size_t open = head.find('<'); open != std::string::npos) {
      dtypes = head.substr(open + 1, head.find('>') - open - 1);
      head = head.substr(0, open);
    }
    const std::vector<std::string> words = split(strip(head), ' ');
    if (words.size() != 2) fail("line " + line);
    const std::vector<std::string> each = dtypes.empty() ? std::vector<std::string>{""} : split(dtypes, ' ');
    for (const std::string& op : split(words[0], '|'))
      for (const std::string& dtype : each) {
        const auto put = [&](const std::string& text) {
          return dtype.empty() ? text : replace_word(text, "T", dtype);
        };
        std::vector<std::string> put_body;
        for (const std::string& text : body) put_body.push_back(put(text));
        const std::string id = op + "/" + words[1] + (dtype.empty() ? "" : "." + dtype);
        cases.push_back(parse_case(op, id, strip(put(line.substr(colon + 1))), put_body));
      }
  }
}

// Where this was built; on another machine, where the environment says.
std::string source_folder() {
  const char* const given = std::getenv("HEADRACE_SOURCE_DIR");
  return given ? given : HEADRACE_SOURCE_DIR;
}

}  // namespace

uint64_t fnv(std::string_view text) {
  uint64_t value = 0xCBF29CE484222325;
  for (const char c : text) value = (value ^ static_cast<uint8_t>(c)) * 0x100000001B3;
  return value;
}

std::vector<OpCase> read_op_cases() {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(source_folder() + "/tests/op_cases"))
    if (entry.path().extension() == ".txt") files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  std::vector<OpCase> cases;
  for (const auto& file : files) read_file(file, cases);
  if (cases.empty()) fail("there are none");
  return cases;
}

std::string run_name(const OpCase& test, const DimBindings& bindings) {
  std::vector<std::string> parts;
  for (const auto& [name, value] : bindings) parts.push_back(fmt::format("{}={}", name, value));
  return bindings.empty() ? test.id : fmt::format("{}[{}]", test.id, fmt::join(parts, ","));
}

std::string graph_text(const OpCase& test) {
  std::vector<std::string> inputs, symbols;
  std::string constants;
  std::string body = fmt::format("{}\n", fmt::join(test.lines, "\n"));
  std::vector<std::string> results = test.results;
  for (size_t i = 0; i < test.operands.size(); ++i) {
    const OpOperand& operand = test.operands[i];
    const std::string name = fmt::format("x{}", i);
    const std::string type =
        fmt::format("{}{}", dtype_name(operand.dtype), to_text(std::span<const Dim>(operand.shape)));
    if (operand.kind == OpOperand::Kind::kInput) inputs.push_back(fmt::format("%{}: {}", name, type));
    if (operand.kind == OpOperand::Kind::kInput || operand.kind == OpOperand::Kind::kAbsent) continue;
    const HostTensor tensor = make_operand(test, i, {});
    if (operand.kind == OpOperand::Kind::kWeight) {
      const Sizes strides = row_major_strides(std::span<const int64_t>(tensor.shape));
      constants += fmt::format("  @{}: {} = weight(\"{}\", offset 0, strides {})\n", name, type, name,
                               to_text(std::span<const int64_t>(strides)));
      body = replace_word(body, "%" + name, "@" + name);
      for (std::string& result : results) result = replace_word(result, "%" + name, "@" + name);
    } else {
      std::string hex;
      for (const std::byte byte : tensor.bytes) hex += fmt::format("{:02x}", std::to_integer<int>(byte));
      constants += fmt::format("  %{}: {} = literal(hex(\"{}\"))\n", name, type, hex);
    }
  }
  for (const auto& [name, opt] : test.bindings[0]) {
    int64_t least = opt, most = opt;
    for (const DimBindings& bindings : test.bindings) {
      least = std::min(least, bindings.at(name));
      most = std::max(most, bindings.at(name));
    }
    symbols.push_back(fmt::format("{}: {} <= {} <= {}", name, least, opt, most));
  }
  for (size_t i = 0; i < results.size(); ++i) results[i] += fmt::format(" as \"y{}\"", i);
  return fmt::format("graph({}){} {{\n{}{}  return {}\n}}\n", fmt::join(inputs, ", "),
                     symbols.empty() ? "" : fmt::format(" symbols({})", fmt::join(symbols, ", ")), constants,
                     body, fmt::join(results, ", "));
}

std::map<std::string, ExpectedRun> read_expected() {
  std::ifstream file(source_folder() + "/tests/op_cases/expected.bin", std::ios::binary);
  std::stringstream stream;
  stream << file.rdbuf();
  const std::string bytes = stream.str();
  if (bytes.compare(0, 7, "HROPS1\n") != 0)
    fail("expected.bin is missing; run tests/fixtures/make_op_cases.py");
  size_t at = 8;
  const auto take = [&](void* to, size_t size) {
    if (size > bytes.size() - at) fail("expected.bin is cut short");
    bytes.copy(static_cast<char*>(to), size, at);
    at += size;
  };
  std::map<std::string, ExpectedRun> runs;
  while (at < bytes.size()) {
    uint32_t length = 0, results = 0;
    take(&length, 4);
    std::string name(length, '\0');
    take(name.data(), length);
    ExpectedRun& run = runs[name];
    take(&run.text_hash, 8);
    take(&results, 4);
    for (uint32_t i = 0; i < results; ++i) {
      uint8_t dtype = 0, rank = 0;
      take(&dtype, 1);
      take(&rank, 1);
      HostTensor& tensor = run.results.emplace_back();
      tensor.dtype = static_cast<DType>(dtype);
      tensor.shape.resize(rank);
      take(tensor.shape.data(), rank * sizeof(int64_t));
      tensor.bytes.resize(static_cast<size_t>(element_count(std::span<const int64_t>(tensor.shape)) *
                                              dtype_size(tensor.dtype)));
      take(tensor.bytes.data(), tensor.bytes.size());
    }
  }
  return runs;
}

}  // namespace headrace::test
