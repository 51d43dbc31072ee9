// UnsupportedReport: gathers what a program has that cannot be lowered, to say it all at once.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "frontend/frontend.h"

namespace headrace::frontend {

// "ep = ep.run_decompositions({})", and saving again: what writes a raw export in plain, functional ops.
enum class Fix { kNone, kDecompose };

class UnsupportedReport {
 public:
  // One node. Nodes of one op with one reason are told of together.
  void add(std::string_view target, const ir::SourceNote& source, std::string why, Fix fix = Fix::kNone);
  bool empty() const { return ops_.empty(); }
  const std::vector<UnsupportedOp>& ops() const { return ops_; }
  // kUnsupported, of `distinct` ops in all; "2 of 31 ops are not supported" and a line for each.
  Status status(size_t distinct) const;

 private:
  std::vector<UnsupportedOp> ops_;
  bool decompose_ = false;
};

}  // namespace headrace::frontend
