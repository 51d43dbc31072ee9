#include <algorithm>

#include "kernels/reference/op.h"

namespace headrace::reference {

namespace {

struct Product {
  int64_t rows, columns, depth;
  bool transpose_b;
};

template <class T>
T multiply_add(T sum, T a, T b) {
  if constexpr (std::is_same_v<T, double>)
    return sum + a * b;
  else  // wraps
    return static_cast<T>(static_cast<uint64_t>(sum) + static_cast<uint64_t>(a) * static_cast<uint64_t>(b));
}

template <class T>
void multiply(const Product& p, const T* a, const T* b, T* out) {
  for (int64_t m = 0; m < p.rows; ++m) {
    T* row = out + m * p.columns;
    if (p.transpose_b) {
      for (int64_t n = 0; n < p.columns; ++n)
        for (int64_t k = 0; k < p.depth; ++k)
          row[n] = multiply_add(row[n], a[m * p.depth + k], b[n * p.depth + k]);
      continue;
    }
    for (int64_t k = 0; k < p.depth; ++k)
      for (int64_t n = 0; n < p.columns; ++n)
        row[n] = multiply_add(row[n], a[m * p.depth + k], b[k * p.columns + n]);
  }
}

// The leading sizes of a product; strides count matrices.
template <class T>
void multiply_all(const Product& p, const Array& a, const Array& b, const Array& out) {
  const Sizes batch(out.shape.begin(), out.shape.end() - 2);
  const Sizes a_batch(a.shape.begin(), a.shape.end() - 2), b_batch(b.shape.begin(), b.shape.end() - 2);
  const Sizes a_strides = broadcast_strides(a_batch, batch), b_strides = broadcast_strides(b_batch, batch);
  std::vector<int64_t> a_at;
  for_each_offset(batch, a_strides, [&](int64_t at) { a_at.push_back(at); });
  size_t next = 0;
  for_each_offset(batch, b_strides, [&](int64_t b_at) {
    multiply(p, a.get<T>().data() + a_at[next] * p.rows * p.depth,
             b.get<T>().data() + b_at * p.depth * p.columns,
             out.get<T>().data() + static_cast<int64_t>(next) * p.rows * p.columns);
    ++next;
  });
}

Status matmul(const Call& call) {
  HR_ASSIGN(const Array a, call.load(0));
  HR_ASSIGN(const Array b, call.load(1));
  const size_t a_rank = a.shape.size(), b_rank = b.shape.size();
  HR_TRY(call.expect(a_rank >= 2 && b_rank >= 2, "both operands must have two dimensions at least"));
  HR_TRY(call.expect(a.dtype == b.dtype, "the operands' dtypes differ"));
  Product p{a.shape[a_rank - 2], 0, a.shape[a_rank - 1], call.attributes.flag("transpose_b")};
  p.columns = b.shape[b_rank - (p.transpose_b ? 2 : 1)];
  HR_TRY(call.expect(b.shape[b_rank - (p.transpose_b ? 1 : 2)] == p.depth, "the inner sizes differ"));
  const Sizes& shape = call.outputs[0].shape;
  HR_TRY(call.expect(shape.size() >= 2 && shape[shape.size() - 2] == p.rows && shape.back() == p.columns,
                     "the result is not [.., M, N]"));
  const Sizes batch(shape.begin(), shape.end() - 2);
  HR_TRY(call.expect(can_broadcast({a.shape.begin(), a.shape.end() - 2}, batch) &&
                         can_broadcast({b.shape.begin(), b.shape.end() - 2}, batch),
                     "the leading sizes do not broadcast to the result"));
  HR_ASSIGN(const Array out, call.scratch.make(a.dtype, shape));
  if (is_float(a.dtype))
    multiply_all<double>(p, a, b, out);
  else
    multiply_all<int64_t>(p, a, b, out);
  HR_TRY(add_operand(call, 2, out));
  HR_TRY(add_operand(call, 3, out));
  HR_TRY(apply_epilogue(call, out));
  return call.store(out);
}

constexpr Op kOps[] = {{"matmul", 2, 4, 1, matmul}};

}  // namespace

std::span<const Op> matmul_ops() { return kOps; }

}  // namespace headrace::reference
