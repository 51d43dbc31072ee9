// Attributes: the typed, named arguments of an IR node, of a plan's step and of a recipe.
//
// An AttributeMap is a small sorted list; getters return the fallback where the name is absent and treat a
// value of another type as absent, so a hostile engine file reaches no unchecked access.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include <headrace/dtype.h>
#include "core/dim.h"

namespace headrace {

using Attribute = std::variant<bool, int64_t, double, std::string, DType, Dim, std::vector<int64_t>,
                               std::vector<double>, std::vector<Dim>>;

class AttributeMap {
 public:
  using Entry = std::pair<std::string, Attribute>;
  AttributeMap() = default;
  AttributeMap(std::initializer_list<Entry> entries);

  void set(std::string_view name, Attribute value);
  void erase(std::string_view name);
  const Attribute* find(std::string_view name) const;  // nullptr where absent
  bool contains(std::string_view name) const { return find(name) != nullptr; }

  template <class T>
  T get(std::string_view name, T fallback) const {
    const Attribute* found = find(name);
    const T* value = found ? std::get_if<T>(found) : nullptr;
    return value ? *value : std::move(fallback);
  }
  bool flag(std::string_view name, bool fallback = false) const { return get<bool>(name, fallback); }
  int64_t integer(std::string_view name, int64_t fallback = 0) const { return get<int64_t>(name, fallback); }
  double number(std::string_view name, double fallback = 0) const { return get<double>(name, fallback); }
  std::string text(std::string_view name, std::string fallback = "") const {
    return get<std::string>(name, std::move(fallback));
  }
  std::vector<int64_t> integers(std::string_view name) const { return get<std::vector<int64_t>>(name, {}); }
  std::vector<Dim> dims(std::string_view name) const { return get<std::vector<Dim>>(name, {}); }

  const std::vector<Entry>& entries() const { return entries_; }  // sorted by name
  bool empty() const { return entries_.empty(); }
  bool operator==(const AttributeMap&) const = default;

 private:
  std::vector<Entry> entries_;
};

// "true", "3", "0.5" (shortest text that reads back; inf, -inf, nan), "\"gelu\"", "f32", "dim(s0 + 1)", "[1,
// 2]", "floats[0.5, 1]", "dims[s0, 4]"; the printer of the IR uses it, and its parser reads it back exactly.
std::string attribute_text(const Attribute& attribute);

}  // namespace headrace
