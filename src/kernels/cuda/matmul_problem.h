// MatmulProblem: a product in cuBLASLt's terms, worked out from sizes and strides alone.
//
// cuBLASLt's matrices lie by columns. A row-major result [M, N] is its transpose [N, M] by columns, so the
// product is put as out' = b' a', where ' is the transpose: `first` is made of b and `second` of a. A bias
// along N then runs along the result's rows, as cuBLASLt wants it. A result that lies by columns itself
// is put as out = a b; it takes no bias.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/shape.h"
#include "kernels/matmul_form.h"

namespace headrace::cuda {

// A matrix by columns: element (r, c) is at r + c * ld.
struct LtMatrix {
  int64_t rows = 0, columns = 0, ld = 0;
  int64_t batch_stride = 0;
  bool transposed = false;  // the operand is its transpose
  bool operator==(const LtMatrix&) const = default;
};

enum LtOperand : size_t { kFirst, kSecond, kAddend, kResult };
inline constexpr size_t kLtOperands = 4;

struct MatmulProblem {
  DType dtype = DType::kF32;   // of first and second
  DType result = DType::kF32;  // of addend and result
  std::optional<Pointwise> epilogue;
  bool bias = false, residual = false;
  bool swapped = true;          // out' = b' a'
  bool tf32 = false;            // f32 may be rounded to it
  bool zeros = false;           // there is nothing to sum: first and second are one column and row of zeros
  int64_t m = 0, n = 0, k = 0;  // of the product as it is put
  int64_t batch = 1;
  LtMatrix matrices[kLtOperands];  // kAddend is the residual; without one it is as the result
  // Further batch dims: each product of them is a call of its own, with the matrices this far on.
  Sizes outer;
  Sizes outer_strides[kLtOperands];

  int64_t calls() const { return element_count(outer); }
  DType dtype_of(size_t operand) const { return operand == kFirst || operand == kSecond ? dtype : result; }
  // The shift of an operand in call `index`, in elements.
  int64_t shift(LtOperand operand, int64_t index) const;
  // All that a choice of algorithm depends on.
  std::string key() const;

  // nullopt where strides are not those of matrices: library_takes_matmul has refused such a step, or its
  // sizes of 1 have become others.
  static std::optional<MatmulProblem> make(const MatmulForm& form, bool tf32);
};

}  // namespace headrace::cuda
