// What back ends ask alike of a node: functions and dtypes that their kernels take.
#pragma once

#include <span>
#include <string_view>

#include <fmt/format.h>

#include "core/pointwise.h"
#include "lowering/lowering.h"

namespace headrace {

inline Support supported() { return {}; }
template <class... Args>
Support not_supported(fmt::format_string<Args...> format, Args&&... args) {
  return {fmt::format(format, std::forward<Args>(args)...)};
}

struct SupportRow {
  std::string_view op;
  Support (*check)(const ir::Node& node);
};

struct SupportRules {
  std::string_view backend;
  bool (*computes)(Pointwise function, DType dtype);  // on operands of `dtype`
  std::span<const SupportRow> limits;                 // of ops, besides those that all back ends have
};

Support check_support(const ir::Node& node, const SupportRules& rules);

}  // namespace headrace
