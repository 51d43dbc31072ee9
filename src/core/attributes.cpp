#include "core/attributes.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"

namespace headrace {

AttributeMap::AttributeMap(std::initializer_list<Entry> entries) {
  for (const Entry& entry : entries) set(entry.first, entry.second);
}

namespace {
auto position(auto& entries, std::string_view name) {
  return std::lower_bound(
      entries.begin(), entries.end(), name,
      [](const AttributeMap::Entry& entry, std::string_view key) { return entry.first.compare(key) < 0; });
}
}  // namespace

void AttributeMap::set(std::string_view name, Attribute value) {
  const auto at = position(entries_, name);
  if (at != entries_.end() && at->first == name) {
    at->second = std::move(value);
  } else {
    entries_.emplace(at, std::string(name), std::move(value));
  }
}

void AttributeMap::erase(std::string_view name) {
  const auto at = position(entries_, name);
  if (at != entries_.end() && at->first == name) entries_.erase(at);
}

const Attribute* AttributeMap::find(std::string_view name) const {
  const auto at = position(entries_, name);
  return at != entries_.end() && at->first == name ? &at->second : nullptr;
}

namespace {

std::string number_text(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  std::string text = fmt::format("{}", value);
  // A float must not read back as an integer.
  if (text.find_first_of(".e") == std::string::npos) text += ".0";
  return text;
}

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (c == '\n') {
      out += "\\n";
    } else {
      out += c;
    }
  }
  return out + "\"";
}

template <class T, class ToText>
std::string list(std::string_view prefix, const std::vector<T>& values, ToText&& to_text) {
  std::string text(prefix);
  text += "[";
  for (size_t i = 0; i < values.size(); ++i) text += (i ? ", " : "") + to_text(values[i]);
  return text + "]";
}

struct Printer {
  std::string operator()(bool value) const { return value ? "true" : "false"; }
  std::string operator()(int64_t value) const { return std::to_string(value); }
  std::string operator()(double value) const { return number_text(value); }
  std::string operator()(const std::string& value) const { return quoted(value); }
  std::string operator()(DType value) const { return std::string(dtype_name(value)); }
  std::string operator()(const Dim& value) const { return "dim(" + value.text() + ")"; }
  std::string operator()(const std::vector<int64_t>& values) const {
    return list("", values, [](int64_t value) { return std::to_string(value); });
  }
  std::string operator()(const std::vector<double>& values) const {
    return list("floats", values, number_text);
  }
  std::string operator()(const std::vector<Dim>& values) const {
    return list("dims", values, [](const Dim& value) { return value.text(); });
  }
};

}  // namespace

std::string attribute_text(const Attribute& attribute) { return std::visit(Printer{}, attribute); }

}  // namespace headrace
