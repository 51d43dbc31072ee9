// Convolutions, computed on [N, spatial.., C] whatever the layout of their operands.
#include <algorithm>

#include "kernels/reference/window.h"

namespace headrace::reference {

namespace {

struct Conv {
  Window window;
  int64_t groups, in, out;  // channels
  Sizes in_spatial, out_spatial;
  int64_t in_cells, out_cells;  // a batch item
  bool transposed;
};

// Weights are [kernel cells, groups, out of the group, in of the group].
void convolve_cell(const Conv& c, const double* x, const double* w, double* y) {
  const int64_t in = c.in / c.groups, out = c.out / c.groups;
  for (int64_t g = 0; g < c.groups; ++g)
    for (int64_t o = 0; o < out; ++o) {
      double sum = 0;
      const double* row = w + (g * out + o) * in;
      for (int64_t i = 0; i < in; ++i) sum += row[i] * x[g * in + i];
      y[g * out + o] += sum;
    }
}

void convolve(const Conv& c, const Array& x, const Array& w, const Array& y) {
  // A transposed convolution writes where a plain one reads.
  const Sizes& windows = c.transposed ? c.in_spatial : c.out_spatial;
  const Sizes& cells = c.transposed ? c.out_spatial : c.in_spatial;
  const int64_t weights_a_cell = c.groups * (c.out / c.groups) * (c.in / c.groups);
  const int64_t batch = x.shape[0];
  int64_t window_position = 0;
  for_each_index(windows, [&](const Sizes& window) {
    int64_t kernel_cell = 0;
    for_each_index(c.window.kernel, [&](const Sizes& cell) {
      const int64_t position = cell_position(c.window, window, cell, cells);
      const double* weights = w.floats.data() + kernel_cell++ * weights_a_cell;
      if (position < 0) return;
      const int64_t from = c.transposed ? window_position : position;
      const int64_t to = c.transposed ? position : window_position;
      for (int64_t n = 0; n < batch; ++n)
        convolve_cell(c, x.floats.data() + (n * c.in_cells + from) * c.in, weights,
                      y.floats.data() + (n * c.out_cells + to) * c.out);
    });
    ++window_position;
  });
}

// [O, C/groups, k..] or, transposed, [C, O/groups, k..] -> [k.., groups, O/groups, C/groups].
Result<Array> load_weights(const Call& call, const Conv& c) {
  View w = *call.input(1);
  const int64_t rank = w.rank();
  View split{w.dtype,
             {c.groups, w.shape[0] / c.groups},
             {w.strides[0] * (w.shape[0] / c.groups), w.strides[0]},
             w.data};
  split.shape.insert(split.shape.end(), w.shape.begin() + 1, w.shape.end());
  split.strides.insert(split.strides.end(), w.strides.begin() + 1, w.strides.end());
  std::vector<int64_t> order;
  for (int64_t i = 3; i <= rank; ++i) order.push_back(i);
  order.push_back(0);
  order.push_back(c.transposed ? 2 : 1);
  order.push_back(c.transposed ? 1 : 2);
  return call.scratch.load(permute(split, order));
}

Result<Conv> read_conv(const Call& call, const View& x, const View& w, const View& y) {
  HR_TRY(call.expect(is_float(x.dtype) && x.dtype == w.dtype, "the operands must be of one float dtype"));
  HR_TRY(call.expect(x.rank() >= 3 && w.rank() == x.rank() && y.rank() == x.rank(), "the ranks differ"));
  Conv c;
  HR_ASSIGN(c.window, Window::read(call, Sizes(w.shape.begin() + 2, w.shape.end())));
  c.groups = call.attributes.integer("groups", 1);
  c.transposed = call.attributes.flag("transposed");
  c.in = x.shape.back();
  c.out = y.shape.back();
  HR_TRY(call.expect(c.groups >= 1 && c.in % c.groups == 0 && c.out % c.groups == 0,
                     "the groups do not divide the channels"));
  const int64_t first = c.transposed ? c.in : c.out, second = (c.transposed ? c.out : c.in) / c.groups;
  HR_TRY(call.expect(w.shape[0] == first && w.shape[1] == second && x.shape[0] == y.shape[0],
                     "the weight's channels are not those of input and result"));
  c.in_spatial.assign(x.shape.begin() + 1, x.shape.end() - 1);
  c.out_spatial.assign(y.shape.begin() + 1, y.shape.end() - 1);
  c.in_cells = element_count(std::span<const int64_t>(c.in_spatial));
  c.out_cells = element_count(std::span<const int64_t>(c.out_spatial));
  return c;
}

Status conv(const Call& call) {
  const View* input = call.input(0);
  const View* weight = call.input(1);
  HR_TRY(call.expect(input && weight && input->rank() >= 3 && call.outputs[0].rank() == input->rank(),
                     "it needs an input and a weight of rank 3 at least"));
  const auto order = channels_last_order(input->rank(), call.attributes.flag("channels_last"));
  const View x = permute(*input, order), y = permute(call.outputs[0], order);
  HR_ASSIGN(const Conv c, read_conv(call, x, *weight, y));
  HR_ASSIGN(const Array loaded, call.scratch.load(x));
  HR_ASSIGN(const Array weights, load_weights(call, c));
  HR_ASSIGN(const Array out, call.scratch.make(x.dtype, y.shape));
  convolve(c, loaded, weights, out);
  HR_TRY(add_operand(call, 2, out));  // [O] is the last axis here
  if (const View* residual = call.input(3)) {
    HR_TRY(call.expect(residual->shape == call.outputs[0].shape && is_float(residual->dtype),
                       "the residual's shape is not the result's"));
    HR_ASSIGN(const Array added, call.scratch.load(permute(*residual, order)));
    for (size_t i = 0; i < out.floats.size(); ++i) out.floats[i] += added.floats[i];
  }
  HR_TRY(apply_epilogue(call, out));
  HR_TRY(call.expect(is_float(y.dtype), "the result is no float"));
  store_rounded(out, y);
  return {};
}

constexpr Op kOps[] = {{"conv", 2, 4, 1, conv}};

}  // namespace

std::span<const Op> conv_ops() { return kOps; }

}  // namespace headrace::reference
