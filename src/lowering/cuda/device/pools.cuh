// The most or the mean of each window. A thread makes a tile of results, of `width` neighbouring channels each:
// tile(d) of a spatial dimension, beside a window's other constants. What their windows share is read once.
//
// Sizes are those of the result, counted in tiles, in its own order; numbers: spatial sizes of the operand, then of
// the result.

// The least T, as it is computed in.
template <class T, class A> struct LeastOf {
  DEVICE static A value() { return static_cast<T>(-1) < static_cast<T>(0) ? static_cast<A>(Extreme<i64>::low() >> (64 - 8 * static_cast<int>(sizeof(T)))) : A(0); }
};
template <class T> struct LeastOf<T, float> {
  DEVICE static float value() { return -infinity(); }
};
template <class T> struct LeastOf<T, double> {
  DEVICE static double value() { return -static_cast<double>(infinity()); }
};

// The larger of each two elements; NaN, where one is NaN.
template <class T, int n> struct LargerOf {
  DEVICE static Run<T, n> of(const Run<T, n>& a, const Run<T, n>& b) {
    Run<T, n> most;
#pragma unroll
    for (int i = 0; i < n; ++i) most.values[i] = narrow<T>(fn_maximum(widen(a.values[i]), widen(b.values[i])));
    return most;
  }
};
#ifndef HEADRACE_ON_HOST
template <int n> struct LargerOf<f32, n> {
  DEVICE static Run<f32, n> of(const Run<f32, n>& a, const Run<f32, n>& b) {
    Run<f32, n> most;
#pragma unroll
    for (int i = 0; i < n; ++i)
      asm("max.NaN.f32 %0, %1, %2;" : "=f"(most.values[i]) : "f"(a.values[i]), "f"(b.values[i]));
    return most;
  }
};
DEVICE unsigned larger_pair(unsigned a, unsigned b, f16) {
  unsigned most;
  asm("max.NaN.f16x2 %0, %1, %2;" : "=r"(most) : "r"(a), "r"(b));
  return most;
}
DEVICE unsigned larger_pair(unsigned a, unsigned b, bf16) {
  unsigned most;
  asm("max.NaN.bf16x2 %0, %1, %2;" : "=r"(most) : "r"(a), "r"(b));
  return most;
}
template <class T> struct LargerPairs {
  DEVICE static Run<T, 8> of(const Run<T, 8>& a, const Run<T, 8>& b) {
    Run<T, 8> most;
#pragma unroll
    for (int i = 0; i < 4; ++i) most.words[0].words[i] = larger_pair(a.words[0].words[i], b.words[0].words[i], T());
    return most;
  }
};
template <> struct LargerOf<f16, 8> : LargerPairs<f16> {};
template <> struct LargerOf<bf16, 8> : LargerPairs<bf16> {};
#endif

// What a pool makes of cells, one after another; blank() is a cell outside of the operand.
template <class T, int n> class MostOfWindow {
 public:
  static constexpr bool kCounts = false;
  DEVICE MostOfWindow() : most_(blank()) {}
  DEVICE static Run<T, n> blank() {
    Run<T, n> least;
#pragma unroll
    for (int i = 0; i < n; ++i) least.values[i] = narrow<T>(LeastOf<T, ComputeOf<T>>::value());
    return least;
  }
  DEVICE void add(const Run<T, n>& cell) { most_ = LargerOf<T, n>::of(most_, cell); }
  DEVICE void add(const MostOfWindow& cells) { add(cells.most_); }
  DEVICE Run<T, n> result(i64) const { return most_; }

 private:
  Run<T, n> most_;
};
template <class T, int n> class MeanOfWindow {
 public:
  typedef ComputeOf<T> A;
  static constexpr bool kCounts = true;
  DEVICE MeanOfWindow() {
#pragma unroll
    for (int i = 0; i < n; ++i) sums_[i] = A(0);
  }
  DEVICE static Run<T, n> blank() {
    Run<T, n> zeros;
#pragma unroll
    for (int i = 0; i < n; ++i) zeros.values[i] = narrow<T>(A(0));
    return zeros;
  }
  DEVICE void add(const Run<T, n>& cell) {
#pragma unroll
    for (int i = 0; i < n; ++i) sums_[i] += widen(cell.values[i]);
  }
  DEVICE void add(const MeanOfWindow& cells) {
#pragma unroll
    for (int i = 0; i < n; ++i) sums_[i] += cells.sums_[i];
  }
  DEVICE Run<T, n> result(i64 count) const {
    Run<T, n> means;
#pragma unroll
    for (int i = 0; i < n; ++i) means.values[i] = narrow<T>(sums_[i] / static_cast<A>(count));
    return means;
  }

 private:
  A sums_[n];
};

// W, of `spatial` dimensions, as a window of three: those in front have one cell.
template <class W, int spatial> struct InSpace {
  static constexpr int kFront = 3 - spatial;
  DEVICE static constexpr int kernel(int d) { return d < kFront ? 1 : W::kernel(d - kFront); }
  DEVICE static constexpr int stride(int d) { return d < kFront ? 1 : W::stride(d - kFront); }
  DEVICE static constexpr int dilation(int d) { return d < kFront ? 1 : W::dilation(d - kFront); }
  DEVICE static constexpr int low(int d) { return d < kFront ? 0 : W::low(d - kFront); }
  DEVICE static constexpr int high(int d) { return d < kFront ? 0 : W::high(d - kFront); }
  DEVICE static constexpr int tile(int d) { return d < kFront ? 1 : W::tile(d - kFront); }
  // Cells of the operand that the windows of a tile lie in, and which of them belong to its window i.
  DEVICE static constexpr int reach(int d) { return (tile(d) - 1) * stride(d) + (kernel(d) - 1) * dilation(d) + 1; }
  DEVICE static constexpr bool holds(int d, int i, int cell) {
    const int at = cell - i * stride(d);
    return at >= 0 && at % dilation(d) == 0 && at / dilation(d) < kernel(d);
  }
  DEVICE static constexpr bool is_used(int d, int cell) {
    for (int i = 0; i < tile(d); ++i)
      if (holds(d, i, cell)) return true;
    return false;
  }
};

// Cells of a window of dimension d that lie inside the operand or, where padding counts, inside its padding.
template <class S, bool count_padding> DEVICE i64 counted_cells(int d, i64 window, i64 size) {
  const i64 begin = window * S::stride(d) - S::low(d), end = begin + S::kernel(d);
  const i64 least = count_padding ? -S::low(d) : 0, most = size + (count_padding ? S::high(d) : 0);
  const i64 cells = (end < most ? end : most) - (begin > least ? begin : least);
  return cells > 0 ? cells : 0;
}

// Where a tile lies, by dimension of space. Offsets before the operand wrap, as Int does; only those of cells
// inside are used.
template <class Int> struct PoolTile {
  Int first[3];             // result
  Int begin[3];             // cell
  Int size[3], results[3];  // of the whole operand and result
  Int step[3], to_step[3];  // strides
  Int from, to;             // offsets of that cell and that result
};
template <class S, int spatial, bool last, int width, class Int>
DEVICE PoolTile<Int> pool_tile(const GeneratedArgs<2>& args, Int index) {
  const GeneratedTensor &x = args.tensors[0], &y = args.tensors[1];
  const Place<spatial + 2, Int> place = place_of<spatial + 2, Int>(args.head, index);
  constexpr int c = last ? spatial + 1 : 1, space = last ? 1 : 2;
  const Int channel = place.at[c] * width;
  PoolTile<Int> tile;
  tile.from = place.at[0] * static_cast<Int>(x.strides[0]) + channel * static_cast<Int>(x.strides[c]);
  tile.to = place.at[0] * static_cast<Int>(y.strides[0]) + channel * static_cast<Int>(y.strides[c]);
#pragma unroll
  for (int d = 0; d < 3; ++d) {
    const int s = d - (3 - spatial);
    const bool real = s >= 0;
    tile.first[d] = real ? place.at[real ? space + s : 0] * S::tile(d) : Int(0);
    tile.size[d] = real ? static_cast<Int>(args.head.numbers[real ? s : 0]) : Int(1);
    tile.results[d] = real ? static_cast<Int>(args.head.numbers[spatial + (real ? s : 0)]) : Int(1);
    tile.step[d] = real ? static_cast<Int>(x.strides[real ? space + s : 0]) : Int(0);
    tile.to_step[d] = real ? static_cast<Int>(y.strides[real ? space + s : 0]) : Int(0);
    tile.begin[d] = tile.first[d] * S::stride(d) - S::low(d);
    tile.from += tile.begin[d] * tile.step[d];
    tile.to += tile.first[d] * tile.to_step[d];
  }
  return tile;
}

// The cells of row `at` of a tile, taken into results of its windows along the row.
template <class T, class S, class Op, int width, class Int>
DEVICE void pool_row(const PoolTile<Int>& tile, const T* x, bool inside, Int at, Op (&row)[S::tile(2)]) {
  constexpr int kUnrolled = S::reach(2) <= 16 ? S::reach(2) : 1;
#pragma unroll kUnrolled
  for (int c = 0; c < S::reach(2); ++c) {
    if (!S::is_used(2, c)) continue;
    Run<T, width> cell = Op::blank();
    if (inside && tile.begin[2] + c < tile.size[2]) cell = read_run<T, width>(x + (at + c * tile.step[2]));
#pragma unroll
    for (int j = 0; j < S::tile(2); ++j)
      if (S::holds(2, j, c)) row[j].add(cell);
  }
}

template <class T, int spatial, bool last, class W, template <class, int> class Op, bool count_padding, i64 divisor,
          int width, class Int>
DEVICE void pool_tiles(const GeneratedArgs<2>& args) {
  typedef InSpace<W, spatial> S;
  typedef Op<T, width> Window;
  constexpr int rows = S::tile(1), columns = S::tile(2);
  constexpr int kUnrolled = S::reach(1) * S::reach(2) <= 64 ? S::reach(1) : 1;
  each_element<2, Int>(args, [&](Int index) {
    const PoolTile<Int> tile = pool_tile<S, spatial, last, width, Int>(args, index);
    Window results[rows][columns];
#pragma unroll 1
    for (int k = 0; k < S::kernel(0); ++k) {
      const Int plane = k * S::dilation(0);
      const bool real = tile.begin[0] + plane < tile.size[0];
#pragma unroll kUnrolled
      for (int r = 0; r < S::reach(1); ++r) {
        if (!S::is_used(1, r)) continue;
        Window row[columns];
        const bool inside = real && tile.begin[1] + r < tile.size[1];
        pool_row<T, S, Window, width, Int>(tile, input<T>(args.tensors[0]), inside,
                                           tile.from + plane * tile.step[0] + r * tile.step[1], row);
#pragma unroll
        for (int i = 0; i < rows; ++i)
#pragma unroll
          for (int j = 0; j < columns; ++j)
            if (S::holds(1, i, r)) results[i][j].add(row[j]);
      }
    }
#pragma unroll
    for (int i = 0; i < rows; ++i)
#pragma unroll
      for (int j = 0; j < columns; ++j) {
        if (tile.first[1] + i >= tile.results[1] || tile.first[2] + j >= tile.results[2]) continue;
        i64 count = divisor;
        if (Window::kCounts && divisor == 0) {
          count = 1;
#pragma unroll
          for (int d = 0; d < 3; ++d)
            count *= counted_cells<S, count_padding>(d, tile.first[d] + (d == 1 ? i : d == 2 ? j : 0), tile.size[d]);
        }
        write_run<T, width>(output<T>(args.tensors[1]) + (tile.to + i * tile.to_step[1] + j * tile.to_step[2]),
                            results[i][j].result(count));
      }
  });
}
template <class T, int spatial, bool last, class W, template <class, int> class Op, bool count_padding, i64 divisor,
          int width, class Int>
DEVICE void pool(const GeneratedArgs<2>& args) {
  if (width > 1 && args.head.vector)
    pool_tiles<T, spatial, last, W, Op, count_padding, divisor, width, Int>(args);
  else
    pool_tiles<T, spatial, last, W, Op, count_padding, divisor, 1, Int>(args);
}

// A thread an element; numbers as above.
template <class T, int spatial, bool last, class Int>
DEVICE void adaptive_avg_pool(const GeneratedArgs<2>& args) {
  typedef ComputeOf<T> A;
  each_element<2, Int>(args, [&](Int i) {
    const Place<spatial + 2, Int> place = place_of<spatial + 2, Int>(args.head, i);
    const GeneratedTensor& x = args.tensors[0];
    constexpr int channel = last ? spatial + 1 : 1, space = last ? 1 : 2;
    const Int base = place.at[0] * static_cast<Int>(x.strides[0]) +
                     place.at[channel] * static_cast<Int>(x.strides[channel]);
    i64 begin[3] = {0, 0, 0}, size[3] = {1, 1, 1}, stride[3] = {0, 0, 0};
#pragma unroll
    for (int d = 0; d < spatial; ++d) {
      const i64 in = args.head.numbers[d], out = args.head.sizes[space + d], at = place.at[space + d];
      begin[d] = at * in / out;
      size[d] = ((at + 1) * in + out - 1) / out - begin[d];
      stride[d] = x.strides[space + d];
    }
    A sum = 0;
    for (i64 a = 0; a < size[0]; ++a)
      for (i64 b = 0; b < size[1]; ++b)
        for (i64 c = 0; c < size[2]; ++c)
          sum += widen(input<T>(x)[base + static_cast<Int>((begin[0] + a) * stride[0] + (begin[1] + b) * stride[1] +
                                                            (begin[2] + c) * stride[2])]);
    output<T>(args.tensors[1])[offset_of<spatial + 2, Int>(args.tensors[1], place)] =
        narrow<T>(sum / static_cast<A>(size[0] * size[1] * size[2]));
  });
}
