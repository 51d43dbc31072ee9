// Teams: the threads that share a row. rank() counts within the team, kSize is its number of threads; teams
// walk the rows in steps; reduce() gives every thread of the team the combination of all their values, in an
// order that does not change.
template <class A> struct Pair {  // an element and where it was
  A value;
  i64 index;
};

// A sum, and a sum of squares.
template <class A> struct Moments {
  A first, second;
};

struct Add {
  template <class A> DEVICE static A of(A a, A b) { return wrap_add(a, b); }
};
struct Multiply {
  template <class A> DEVICE static A of(A a, A b) { return wrap_mul(a, b); }
};
struct Most {
  template <class A> DEVICE static A of(A a, A b) { return fn_maximum(a, b); }
};
struct Least {
  template <class A> DEVICE static A of(A a, A b) { return fn_minimum(a, b); }
};
struct Any {
  template <class A> DEVICE static A of(A a, A b) { return a | b; }
};
struct All {
  template <class A> DEVICE static A of(A a, A b) { return a & b; }
};
struct AddMoments {
  template <class A> DEVICE static Moments<A> of(Moments<A> a, Moments<A> b) {
    return Moments<A>{a.first + b.first, a.second + b.second};
  }
};
// Of pairs: the better value, NaN before all; of equals the first.
template <bool most> struct Best {
  template <class A> DEVICE static Pair<A> of(Pair<A> a, Pair<A> b) {
    const bool a_nan = is_nan(a.value), b_nan = is_nan(b.value);
    if (a_nan != b_nan) return a_nan ? a : b;
    if (a_nan || a.value == b.value) return a.index <= b.index ? a : b;
    return (most ? a.value > b.value : a.value < b.value) ? a : b;
  }
};

template <class A> DEVICE A exchange(A x, int lanes) { return SHUFFLE_XOR(x, lanes); }
template <class A> DEVICE Pair<A> exchange(Pair<A> x, int lanes) {
  return Pair<A>{SHUFFLE_XOR(x.value, lanes), SHUFFLE_XOR(x.index, lanes)};
}
template <class A> DEVICE Moments<A> exchange(Moments<A> x, int lanes) {
  return Moments<A>{SHUFFLE_XOR(x.first, lanes), SHUFFLE_XOR(x.second, lanes)};
}
template <class Op, class A> DEVICE A reduce_warp(A x) {
#pragma unroll
  for (int lanes = 16; lanes > 0; lanes >>= 1) x = Op::of(x, exchange(x, lanes));
  return x;
}

// A warp a row, kWarps of them in a block.
template <int warps> struct WarpTeam {
  static constexpr int kSize = 32;
  DEVICE static int rank() { return threadIdx.x & 31; }
  DEVICE static i64 first() { return static_cast<i64>(blockIdx.x) * warps + (threadIdx.x >> 5); }
  DEVICE static i64 step() { return static_cast<i64>(gridDim.x) * warps; }
  // Rows of a block start together, so that all its threads meet; a row past the last is not written.
  DEVICE static bool goes_on(i64 row, i64 rows) { return row < rows; }
  template <class Op, class A> DEVICE static A reduce(A x) { return reduce_warp<Op>(x); }
};

// A block a row.
template <int threads> struct BlockTeam {
  static constexpr int kSize = threads;
  DEVICE static int rank() { return threadIdx.x; }
  DEVICE static i64 first() { return blockIdx.x; }
  DEVICE static i64 step() { return gridDim.x; }
  DEVICE static bool goes_on(i64 row, i64 rows) { return row < rows; }
  template <class Op, class A> DEVICE static A reduce(A x) {
    SHARED A parts[threads / 32];
    x = reduce_warp<Op>(x);
    SYNC();  // the parts of the last reduction have been read
    if ((threadIdx.x & 31) == 0) parts[threadIdx.x >> 5] = x;
    SYNC();
    x = parts[0];
#pragma unroll
    for (int i = 1; i < threads / 32; ++i) x = Op::of(x, parts[i]);
    return x;
  }
};

// Thirty-two rows a block, neighbours in memory; `threads` threads share each.
template <int threads> struct ColumnTeam {
  static constexpr int kSize = threads;
  DEVICE static int rank() { return threadIdx.y; }
  DEVICE static i64 first() { return static_cast<i64>(blockIdx.x) * 32 + threadIdx.x; }
  DEVICE static i64 step() { return static_cast<i64>(gridDim.x) * 32; }
  DEVICE static bool goes_on(i64 row, i64 rows) { return row - threadIdx.x < rows; }
  template <class Op, class A> DEVICE static A reduce(A x) {
    SHARED A parts[threads][33];
    SYNC();
    parts[threadIdx.y][threadIdx.x] = x;
    SYNC();
    x = parts[0][threadIdx.x];
    for (int i = 1; i < threads; ++i) x = Op::of(x, parts[i][threadIdx.x]);
    return x;
  }
};
