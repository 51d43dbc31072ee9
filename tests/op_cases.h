// The conformance cases of tests/op_cases, whose README has the grammar: graphs, their operands, and the
// results that PyTorch gives. The same reader in Python is tests/fixtures/op_case_file.py.
#pragma once

#include <map>
#include <string>
#include <vector>

#include <headrace/status.h>
#include "core/dim.h"
#include "weights/weights.h"

namespace headrace::test {

struct OpOperand {
  enum class Kind { kInput, kWeight, kLiteral, kAbsent } kind = Kind::kInput;
  DType dtype = DType::kF32;
  std::vector<Dim> shape;
  double low = 0, high = 0;
  bool special = false;
};

struct OpCase {
  std::string id;  // "matmul/plain.f32"
  std::string op;  // "matmul", or "graph"
  std::string text;
  std::vector<OpOperand> operands;
  std::vector<std::string> lines;    // of the IR
  std::vector<std::string> results;  // "%y0"
  std::vector<DimBindings> bindings;
};

std::vector<OpCase> read_op_cases();  // all files; aborts the test program where one cannot be read
std::string run_name(const OpCase& test, const DimBindings& bindings);  // "matmul/plain.f32[s0=3]"
// The values of operand `index`, from its place and the case's name alone.
HostTensor make_operand(const OpCase& test, size_t index, const DimBindings& bindings);
// The case as the text of a graph: operands are %x0 (inputs, literals) and @x1 (weights).
std::string graph_text(const OpCase& test);

struct ExpectedRun {
  uint64_t text_hash = 0;  // of the case, as it was when the results were made
  std::vector<HostTensor> results;
};
std::map<std::string, ExpectedRun> read_expected();
uint64_t fnv(std::string_view text);

// Products that go into one number of the case at most: what the comparison allows for.
int64_t product_terms(const OpCase& test, const DimBindings& bindings);

bool attends(const OpCase& test);  // attention is among its ops

// What products are made of: not rounded; to the result's dtype; to TF32.
enum class Inside { kExact, kRounded, kTf32 };

// Why two tensors differ; empty where they agree. Floats: by rounding of the dtype, plus what a sum of
// `terms` products may lose in f32 next to the largest result, and what is rounded inside of them.
std::string difference(const HostTensor& got, const HostTensor& want, int64_t terms,
                       Inside inside = Inside::kExact);

}  // namespace headrace::test
