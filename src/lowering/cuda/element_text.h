// ElementText: the body of an element kernel, put together from operands, statements and results.
#pragma once

#include <string>
#include <vector>

#include <headrace/dtype.h>
#include "lowering/cuda/kernel_sources.h"

namespace headrace::cuda {

// A kernel that runs `body` for vectors of V <= width elements; it may use args, at[operand] and index.
KernelText element_kernel(std::string family, std::string_view body, int64_t width);

class ElementText {
 public:
  // Registers: r<number> holds the element of an operand, of a constant, or what a statement makes.
  void add_input(int reg, DType dtype);
  void add_constant(int reg, DType dtype, double value);
  void add_statements(std::string text) { statements_ += text; }
  void add_output(int reg, DType dtype);

  int64_t width() const;
  KernelText kernel(std::string family) const;

 private:
  struct Operand {
    int reg;
    DType dtype;
  };
  std::vector<Operand> inputs_, outputs_;
  std::string statements_;
};

}  // namespace headrace::cuda
