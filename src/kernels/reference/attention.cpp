// Softmax, attention, rotary embedding.
#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/reference/op.h"

namespace headrace::reference {

namespace {

Status softmax(const Call& call) {
  HR_ASSIGN(const Array x, call.load_float(0));
  HR_ASSIGN(const size_t axis, call.axis("axis", static_cast<int64_t>(x.shape.size())));
  const bool log = call.attributes.flag("log");
  const int64_t size = x.shape[axis];
  const int64_t inner = element_count(std::span<const int64_t>(x.shape).subspan(axis + 1));
  if (x.floats.empty()) return call.store(x);
  const int64_t outer = x.elements() / (size * inner);
  for (int64_t o = 0; o < outer; ++o)
    for (int64_t i = 0; i < inner; ++i) {
      const auto at = [&](int64_t k) -> double& {
        return x.floats[static_cast<size_t>((o * size + k) * inner + i)];
      };
      double most = at(0), sum = 0;
      for (int64_t k = 1; k < size; ++k) most = std::max(most, at(k));
      for (int64_t k = 0; k < size; ++k) sum += std::exp(at(k) - most);
      for (int64_t k = 0; k < size; ++k)
        at(k) = log ? at(k) - most - std::log(sum) : std::exp(at(k) - most) / sum;
    }
  return call.store(x);
}

struct Attention {
  int64_t heads, groups, queries, keys, depth, width;
  double scale;
  bool causal;
};

// One head: q [S, D], k [T, D], v [T, E], mask read by `masked(s, t)`, which is added; -inf: a weight of 0,
// unless the score was NaN or +inf.
template <class Masked>
void attend(const Attention& a, const double* q, const double* k, const double* v, double* out,
            Masked masked) {
  std::vector<double> scores(static_cast<size_t>(a.keys));
  for (int64_t s = 0; s < a.queries; ++s) {
    double most = -std::numeric_limits<double>::infinity(), sum = 0;
    const int64_t seen = a.causal ? std::min(a.keys, s + 1) : a.keys;
    for (int64_t t = 0; t < seen; ++t) {
      double& score = scores[static_cast<size_t>(t)];
      score = 0;
      for (int64_t d = 0; d < a.depth; ++d) score += q[s * a.depth + d] * k[t * a.depth + d];
      score = score * a.scale + masked(s, t);
      most = std::isnan(score) ? score : std::max(most, score);
    }
    const bool nothing = most == -std::numeric_limits<double>::infinity();  // is attended: all weights are 0
    for (int64_t t = 0; t < seen; ++t) {
      double& score = scores[static_cast<size_t>(t)];
      score = nothing ? 0 : std::exp(score - most);
      sum += score;
    }
    for (int64_t t = 0; t < seen; ++t) {
      const double weight = nothing ? 0 : scores[static_cast<size_t>(t)] / sum;
      for (int64_t e = 0; e < a.width; ++e) out[s * a.width + e] += weight * v[t * a.width + e];
    }
  }
}

Result<Attention> read_attention(const Call& call, const Array& q, const Array& k, const Array& v) {
  const size_t rank = q.shape.size();
  HR_TRY(call.expect(rank >= 3 && k.shape.size() == rank && v.shape.size() == rank,
                     "q, k and v must have one rank, 3 at least"));
  HR_TRY(call.expect(std::equal(q.shape.begin(), q.shape.end() - 3, k.shape.begin()) &&
                         std::equal(k.shape.begin(), k.shape.end() - 1, v.shape.begin()),
                     "the leading sizes of q, k and v differ"));
  Attention a{q.shape[rank - 3],
              k.shape[rank - 3],
              q.shape[rank - 2],
              k.shape[rank - 2],
              q.shape[rank - 1],
              v.shape[rank - 1],
              call.attributes.number("scale", 1),
              call.attributes.flag("causal")};
  HR_TRY(call.expect(k.shape[rank - 1] == a.depth, "q and k differ in their last size"));
  HR_TRY(
      call.expect(a.groups >= 1 && a.heads % a.groups == 0, "the key heads do not divide the query heads"));
  return a;
}

Status attention(const Call& call) {
  HR_ASSIGN(const Array q, call.load_float(0));
  HR_ASSIGN(const Array k, call.load_float(1));
  HR_ASSIGN(const Array v, call.load_float(2));
  HR_ASSIGN(const Attention a, read_attention(call, q, k, v));
  Sizes shape = q.shape;
  shape.back() = a.width;
  HR_ASSIGN(const Array out, call.scratch.make(q.dtype, shape));
  Array mask;
  Sizes scores_shape = q.shape, mask_strides;
  scores_shape.back() = a.keys;
  if (call.input(3)) {
    HR_ASSIGN(mask, call.load(3));
    HR_TRY(
        call.expect(can_broadcast(mask.shape, scores_shape), "the mask does not broadcast to [.., H, S, T]"));
    HR_TRY(call.expect(mask.dtype == DType::kBool || is_float(mask.dtype),
                       "the mask is neither bool nor float"));
    mask_strides = broadcast_strides(mask.shape, scores_shape);
  } else {
    mask_strides.assign(scores_shape.size(), 0);
  }
  const Sizes heads(q.shape.begin(), q.shape.end() - 2);
  const Sizes head_strides(mask_strides.begin(), mask_strides.end() - 2);
  const int64_t row = mask_strides[mask_strides.size() - 2], column = mask_strides.back();
  int64_t head = 0;
  for_each_offset(heads, head_strides, [&](int64_t mask_at) {
    const int64_t key_head = head / a.heads * a.groups + head % a.heads / (a.heads / a.groups);
    attend(a, q.floats.data() + head * a.queries * a.depth, k.floats.data() + key_head * a.keys * a.depth,
           v.floats.data() + key_head * a.keys * a.width, out.floats.data() + head * a.queries * a.width,
           [&](int64_t s, int64_t t) {
             const auto at = static_cast<size_t>(mask_at + s * row + t * column);
             if (!mask.floats.empty()) return mask.floats[at];
             return mask.integers.empty() || mask.integers[at] ? 0.0
                                                               : -std::numeric_limits<double>::infinity();
           });
    ++head;
  });
  return call.store(out);
}

Status rotary(const Call& call) {
  HR_ASSIGN(const Array x, call.load_float(0));
  HR_ASSIGN(const Array cos, call.load_float(1));
  HR_ASSIGN(const Array sin, call.load_float(2));
  HR_TRY(call.expect(!x.shape.empty() && x.shape.back() % 2 == 0, "the last size is not even"));
  HR_TRY(call.expect(can_broadcast(cos.shape, x.shape) && can_broadcast(sin.shape, x.shape),
                     "cos or sin does not broadcast to x"));
  HR_ASSIGN(const Array out, call.scratch.make(x.dtype, x.shape));
  const bool interleaved = call.attributes.flag("interleaved");
  const size_t depth = static_cast<size_t>(x.shape.back()), half = depth / 2;
  size_t next = 0;
  for_each_offset(x.shape, broadcast_strides(cos.shape, x.shape), [&](int64_t at) {
    out.floats[next] = x.floats[next] * cos.floats[static_cast<size_t>(at)];
    ++next;
  });
  next = 0;
  for_each_offset(x.shape, broadcast_strides(sin.shape, x.shape), [&](int64_t at) {
    const size_t d = next % depth, row = next - d;
    const bool first = interleaved ? d % 2 == 0 : d < half;
    const size_t other = interleaved ? (first ? d + 1 : d - 1) : (first ? d + half : d - half);
    const double rotated = first ? -x.floats[row + other] : x.floats[row + other];
    out.floats[next] += rotated * sin.floats[static_cast<size_t>(at)];
    ++next;
  });
  return call.store(out);
}

constexpr Op kOps[] = {
    {"softmax", 1, 1, 1, softmax}, {"attention", 3, 4, 1, attention}, {"rotary", 3, 3, 1, rotary}};

}  // namespace

std::span<const Op> attention_ops() { return kOps; }

}  // namespace headrace::reference
