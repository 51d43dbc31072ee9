// The inner loops of attention over tiles in L1, compiled once for each instruction set.
#pragma once

#include <cstdint>

namespace headrace::cpu {

struct AttentionTiles {
  int64_t width = 1;  // floats in a vector: columns of `product` come in multiples of it
  // c[i, j] = (or +=) sum over k of a[i * a_row + k * a_step] * b[k * b_row + j], for rows x columns.
  void (*product)(int64_t rows, int64_t columns, int64_t depth, const float* a, int64_t a_row, int64_t a_step,
                  const float* b, int64_t b_row, float* c, int64_t c_row, bool accumulate);
  // One more tile of scores[key * queries + query] for softmax: scores become exp(score - max), `max` and
  // `sum` of each query take them in, and what was summed before is to be scaled by `factor`.
  void (*take_in)(float* scores, int64_t keys, int64_t queries, float* max, float* sum, float* factor);
  // Whether no value is infinite or NaN. REQUIRES: columns is a multiple of `width`.
  bool (*all_finite)(const float* values, int64_t rows, int64_t columns, int64_t row_stride);
};

// Those for the best instruction set of this machine.
const AttentionTiles& attention_tiles();
// By name ("avx512", "avx2", "baseline"); nullptr where this machine lacks it. For tests.
const AttentionTiles* attention_tiles_for(const char* isa);

}  // namespace headrace::cpu
