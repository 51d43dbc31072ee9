#include "frontend/json.h"

#include <limits>

namespace headrace::frontend {

Json Json::operator[](std::string_view key) const {
  const auto object = as<simdjson::dom::object>("an object");
  simdjson::dom::element value;
  if (!object || object->at_key(key).get(value) != simdjson::SUCCESS || value.is_null()) return {};
  return Json(value, errors_, key);
}

std::string_view Json::text(std::string_view fallback) const {
  return as<std::string_view>("a text").value_or(fallback);
}
int64_t Json::integer(int64_t fallback) const { return as<int64_t>("a 64-bit integer").value_or(fallback); }
bool Json::flag(bool fallback) const { return as<bool>("true or false").value_or(fallback); }

double Json::number(double fallback) const {
  if (is_text()) {
    const std::string_view name = text();
    if (name == "Infinity") return std::numeric_limits<double>::infinity();
    if (name == "-Infinity") return -std::numeric_limits<double>::infinity();
    if (name == "NaN") return std::numeric_limits<double>::quiet_NaN();
  }
  return as<double>("a number").value_or(fallback);
}

std::pair<std::string_view, Json> Json::one_of() const {
  std::pair<std::string_view, Json> found;
  size_t count = 0;
  each_field([&](std::string_view key, const Json& value) {
    if (value.element_->is_null()) return;
    found = {key, value};
    ++count;
  });
  if (element_ && count != 1) mismatch("an object with one key");
  return found;
}

std::string Json::json_text() const { return element_ ? simdjson::minify(*element_) : "null"; }

void Json::mismatch(std::string_view wanted) const {
  if (!errors_->first.ok()) return;  // only the first is kept, and a subtree's text may be long
  constexpr size_t kShown = 60;
  std::string found = json_text();
  if (found.size() > kShown) found = found.substr(0, kShown) + "…";
  errors_->note(corrupt("'{}' should be {}, but is {}", name_, wanted, found));
}

Result<Json> parse_json(simdjson::dom::parser& parser, std::string_view text, JsonErrors& errors) {
  simdjson::dom::element element;
  const simdjson::error_code error = parser.parse(text.data(), text.size()).get(element);
  if (error == simdjson::SUCCESS) return Json(element, &errors, "the text");
  return corrupt("{}: it is not valid JSON ({}); save the program again", errors.where,
                 simdjson::error_message(error));
}

}  // namespace headrace::frontend
