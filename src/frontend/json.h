// Json: a value of a parsed text, or nothing. Reading never fails on the spot: a value of the wrong type
// gives the fallback and is noted in the JsonErrors, which whoever reads asks at the end. So readers of
// records stay lists of fields, and a missing key takes its default, as older minors of a schema need.
#pragma once

#include <simdjson.h>

#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "core/error.h"

namespace headrace::frontend {

// The first error, and what is being read when it happens.
struct JsonErrors {
  std::string where;  // "model.json", "model.json, node 'linear_3'"
  Status first;
  void note(Status status) {
    if (first.ok()) first = status.with_context(where);
  }
};

class Json {
 public:
  Json() = default;
  Json(simdjson::dom::element element, JsonErrors* errors, std::string_view name)
      : element_(element), errors_(errors), name_(name) {}

  bool present() const { return element_.has_value(); }
  bool is_text() const { return element_ && element_->is_string(); }

  // Absent where this is absent, the key is missing or its value is null.
  Json operator[](std::string_view key) const;
  std::string_view text(std::string_view fallback = "") const;
  int64_t integer(int64_t fallback = 0) const;
  double number(double fallback = 0) const;  // also "Infinity", "-Infinity" and "NaN"
  bool flag(bool fallback = false) const;
  // The one key of a union, and its value: {"as_int": 3}. Keys that are null do not count.
  std::pair<std::string_view, Json> one_of() const;
  template <class F>
  void each_item(F&& f) const {  // f(Json)
    const auto array = as<simdjson::dom::array>("a list");
    if (!array) return;
    for (const simdjson::dom::element item : *array) f(Json(item, errors_, name_));
  }
  template <class F>
  void each_field(F&& f) const {  // f(key, Json)
    const auto object = as<simdjson::dom::object>("an object");
    if (!object) return;
    for (const simdjson::dom::key_value_pair field : *object)
      f(field.key, Json(field.value, errors_, field.key));
  }
  std::string json_text() const;  // as it stands in the file, without spaces

 private:
  template <class T>
  std::optional<T> as(std::string_view wanted) const {
    T value;
    if (!element_) return std::nullopt;
    if (element_->get(value) == simdjson::SUCCESS) return value;
    mismatch(wanted);
    return std::nullopt;
  }
  void mismatch(std::string_view wanted) const;

  std::optional<simdjson::dom::element> element_;
  JsonErrors* errors_ = nullptr;
  std::string_view name_;  // the key that it came under
};

// The text's one value; it lives as long as `parser`. Errors: kCorrupt, with `where`.
Result<Json> parse_json(simdjson::dom::parser& parser, std::string_view text, JsonErrors& errors);

}  // namespace headrace::frontend
