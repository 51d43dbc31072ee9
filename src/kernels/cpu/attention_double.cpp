// Attention in f64, for models that are checked in it: plain loops.
#include <cmath>
#include <limits>

#include "kernels/cpu/attention_form.h"

namespace headrace::cpu {

namespace {

class DoubleAttention : public StepKernel {
 public:
  DoubleAttention(AttentionForm form, int threads) : form_(std::move(form)) {
    const int64_t rows = form_.batches() * form_.heads * form_.queries;
    threads_ = worthwhile_threads(threads, static_cast<double>(rows) * static_cast<double>(form_.keys + 1) *
                                               static_cast<double>(form_.depth + form_.width));
  }

  Bytes workspace() const override { return {threads_ * form_.keys * 8}; }

  Status run(const Addresses& at) const override {
    const int64_t rows = form_.batches() * form_.heads * form_.queries;
    parallel_ranges(threads_, rows, [&](int thread, int64_t begin, int64_t end) {
      auto* scores = reinterpret_cast<double*>(at.workspace) + thread * form_.keys;
      for (int64_t row = begin; row < end; ++row) run_row(at, row, scores);
    });
    return {};
  }

 private:
  double mask(const Addresses& at, int64_t offset) const {
    const StepTensor& mask = *form_.mask;
    const std::byte* from = mask.at(at) + offset * dtype_size(mask.dtype);
    if (mask.dtype == DType::kBool)
      return *from == std::byte{0} ? -std::numeric_limits<double>::infinity() : 0.0;
    return *reinterpret_cast<const double*>(from);
  }

  void run_row(const Addresses& at, int64_t row, double* scores) const {
    const int64_t query = row % form_.queries, head = row / form_.queries % form_.heads;
    const int64_t batch = row / form_.queries / form_.heads, group = head / form_.heads_per_group();
    const auto start = [&](const StepTensor& tensor, size_t t, int64_t h) {
      return reinterpret_cast<double*>(tensor.at(at)) + form_.batch_offset(t, batch) +
             h * head_stride(tensor);
    };
    const double* q = start(form_.q, 1, head) + query * row_stride(form_.q);
    const double* k = start(form_.k, 2, group);
    const double* v = start(form_.v, 3, group);
    double* out = start(form_.out, 0, head) + query * row_stride(form_.out);
    double most = -std::numeric_limits<double>::infinity(), sum = 0;
    const int64_t seen = form_.causal ? std::min(form_.keys, query + 1) : form_.keys;
    for (int64_t t = 0; t < seen; ++t) {
      double score = 0;
      for (int64_t d = 0; d < form_.depth; ++d)
        score += q[d * column_stride(form_.q)] * k[t * row_stride(form_.k) + d * column_stride(form_.k)];
      score *= form_.scale;
      if (form_.mask)
        score += mask(at, form_.batch_offset(4, batch) + head * head_stride(*form_.mask) +
                              query * row_stride(*form_.mask) + t * column_stride(*form_.mask));
      scores[t] = score;
      most = score > most || std::isnan(score) ? score : most;
    }
    const bool nothing = most == -std::numeric_limits<double>::infinity();
    for (int64_t t = 0; t < seen; ++t) sum += scores[t] = nothing ? 0 : std::exp(scores[t] - most);
    for (int64_t e = 0; e < form_.width; ++e) {
      double value = 0;
      for (int64_t t = 0; t < seen; ++t)
        value += scores[t] * v[t * row_stride(form_.v) + e * column_stride(form_.v)];
      out[e * column_stride(form_.out)] = nothing ? value : value / sum;
    }
  }

  AttentionForm form_;
  int threads_ = 1;
};

}  // namespace

std::unique_ptr<StepKernel> make_double_attention(AttentionForm form, int threads) {
  return std::make_unique<DoubleAttention>(std::move(form), threads);
}

}  // namespace headrace::cpu
