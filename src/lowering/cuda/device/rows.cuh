// Kernels that work along rows: sizes before `outer` say which row, those from `outer` on are its columns.
template <int count, class Int> struct RowPlace {
  Int at[count];
};
template <int count, class Int>
DEVICE RowPlace<count, Int> place_row(const GeneratedArgs<count>& args, i64 row) {
  RowPlace<count, Int> place;
#pragma unroll
  for (int k = 0; k < count; ++k) place.at[k] = 0;
  add_offsets<count, Int>(args.head, args.tensors, 0, args.head.outer, static_cast<Int>(row), place.at);
  return place;
}
// Where `column` of a row lies in tensor k.
template <int count, class Int>
DEVICE Int column_at(const GeneratedArgs<count>& args, const RowPlace<count, Int>& row, int k, Int column) {
  Int at[1] = {row.at[k]};
  add_offsets<1, Int>(args.head, args.tensors + k, args.head.outer, args.head.rank, column, at);
  return at[0];
}

// A row that is read again each time it is walked; its elements may lie anywhere.
template <class T, class Team, int count, class Int> class WalkedRow {
 public:
  typedef ComputeOf<T> A;
  DEVICE WalkedRow(const GeneratedArgs<count>& args, const RowPlace<count, Int>& place) : args_(args), place_(place) {}
  // f(value, column) for the columns of this thread.
  template <class F> DEVICE void each(F f) const {
    const Int columns = static_cast<Int>(args_.head.columns);
    for (Int c = Team::rank(); c < columns; c += Team::kSize)
      f(widen(input<T>(args_.tensors[0])[column_at<count, Int>(args_, place_, 0, c)]), c);
  }
  // The same, storing what f gives in tensor `to`.
  template <class F> DEVICE void map(int to, bool stored, F f) const {
    each([&](A x, Int c) {
      const A y = f(x, c);
      if (stored) output<T>(args_.tensors[to])[column_at<count, Int>(args_, place_, to, c)] = narrow<T>(y);
    });
  }

 private:
  const GeneratedArgs<count>& args_;
  const RowPlace<count, Int>& place_;
};

// A row in registers, `pieces` runs of `width` columns a thread. REQUIRES: the columns are neighbours in
// memory, in every tensor; where runs are `whole`, width divides the columns and all rows are aligned.
template <class T, class Team, int pieces, int width, bool whole> class KeptRow {
 public:
  typedef ComputeOf<T> A;
  template <class Int> DEVICE void load(const T* from, Int columns) {
#pragma unroll
    for (int p = 0; p < pieces; ++p) {
      const Int first = first_of<Int>(p);
      if (first >= columns) continue;
      if (whole) {
        const Run<T, width> run = read_run<T, width>(from + first);
#pragma unroll
        for (int i = 0; i < width; ++i) x[p][i] = widen(run.values[i]);
      } else {
#pragma unroll
        for (int i = 0; i < width; ++i)
          if (first + i < columns) x[p][i] = widen(from[first + i]);
      }
    }
  }
  // f(value) for the columns of this thread.
  template <class Int, class F> DEVICE void each(Int columns, F f) {
#pragma unroll
    for (int p = 0; p < pieces; ++p) {
      const Int first = first_of<Int>(p);
      if (first >= columns) continue;
#pragma unroll
      for (int i = 0; i < width; ++i)
        if (whole || first + i < columns) f(x[p][i]);
    }
  }
  template <class Int> DEVICE void store(T* to, Int columns) const {
#pragma unroll
    for (int p = 0; p < pieces; ++p) {
      const Int first = first_of<Int>(p);
      if (first >= columns) continue;
      if (whole) {
        Run<T, width> run;
#pragma unroll
        for (int i = 0; i < width; ++i) run.values[i] = narrow<T>(x[p][i]);
        write_run<T, width>(to + first, run);
      } else {
#pragma unroll
        for (int i = 0; i < width; ++i)
          if (first + i < columns) to[first + i] = narrow<T>(x[p][i]);
      }
    }
  }
  template <class Int> DEVICE static Int first_of(int piece) {
    return (static_cast<Int>(piece) * Team::kSize + Team::rank()) * width;
  }

  A x[pieces][width];
};

template <class T, class Team, bool logarithm, class Int>
DEVICE void softmax(const GeneratedArgs<2>& args) {
  typedef ComputeOf<T> A;
  const i64 rows = args.head.rows;
  for (i64 r = Team::first(); Team::goes_on(r, rows); r += Team::step()) {
    const bool real = r < rows;
    const RowPlace<2, Int> place = place_row<2, Int>(args, real ? r : rows - 1);
    const WalkedRow<T, Team, 2, Int> row(args, place);
    A most = -infinity();
    row.each([&](A x, Int) { most = fn_maximum(most, x); });
    most = Team::template reduce<Most>(most);
    A sum = 0;
    row.each([&](A x, Int) { sum += fn_exp(x - most); });
    sum = Team::template reduce<Add>(sum);
    const A scale = logarithm ? fn_log(sum) : A(1) / sum;
    row.map(1, real, [&](A x, Int) { return logarithm ? x - most - scale : fn_exp(x - most) * scale; });
  }
}
// `known`: the number of columns, or 0.
template <class T, class Team, int pieces, int width, bool whole, int known, bool logarithm, class Int>
DEVICE void softmax_rows(const GeneratedArgs<2>& args) {
  typedef ComputeOf<T> A;
  const Int columns = known > 0 ? static_cast<Int>(known) : static_cast<Int>(args.head.columns);
  for (i64 r = Team::first(); Team::goes_on(r, args.head.rows); r += Team::step()) {
    const RowPlace<2, Int> place = place_row<2, Int>(args, r);
    KeptRow<T, Team, pieces, width, whole> row;
    row.load(input<T>(args.tensors[0]) + place.at[0], columns);
    A most = -infinity();
    row.each(columns, [&](A x) { most = fn_maximum(most, x); });
    most = Team::template reduce<Most>(most);
    A sum = 0;
    row.each(columns, [&](A& x) {
      x -= most;
      const A power = fn_exp(x);
      sum += power;
      if (!logarithm) x = power;
    });
    sum = Team::template reduce<Add>(sum);
    const A scale = logarithm ? fn_log(sum) : A(1) / sum;
    row.each(columns, [&](A& x) { x = logarithm ? x - scale : x * scale; });
    row.store(output<T>(args.tensors[1]) + place.at[1], columns);
  }
}
template <class T, class Team, int pieces, int width, int known, bool logarithm, class Int>
DEVICE void softmax_kept(const GeneratedArgs<2>& args) {
  if (width > 1 && args.head.vector)
    softmax_rows<T, Team, pieces, width, true, known, logarithm, Int>(args);
  else
    softmax_rows<T, Team, pieces, width, false, known, logarithm, Int>(args);
}

// Layer norm (centred) and RMS norm, of x, scale, bias; the host's rows put group norm into the same form.
template <class T, class Team, bool centred, bool scaled, bool biased, class Int>
DEVICE void normalise(const GeneratedArgs<4>& args, double eps) {
  typedef ComputeOf<T> A;
  const i64 rows = args.head.rows;
  const A count = static_cast<A>(args.head.columns);
  for (i64 r = Team::first(); Team::goes_on(r, rows); r += Team::step()) {
    const bool real = r < rows;
    const RowPlace<4, Int> place = place_row<4, Int>(args, real ? r : rows - 1);
    const WalkedRow<T, Team, 4, Int> row(args, place);
    A mean = 0;
    if (centred) {
      row.each([&](A x, Int) { mean += x; });
      mean = Team::template reduce<Add>(mean) / count;
    }
    A squares = 0;
    row.each([&](A x, Int) { squares += (x - mean) * (x - mean); });
    squares = Team::template reduce<Add>(squares);
    const A by = A(1) / fn_sqrt(squares / count + static_cast<A>(eps));
    row.map(3, real, [&](A x, Int c) {
      A y = (x - mean) * by;
      if (scaled) y *= widen(input<T>(args.tensors[1])[column_at<4, Int>(args, place, 1, c)]);
      if (biased) y += widen(input<T>(args.tensors[2])[column_at<4, Int>(args, place, 2, c)]);
      return y;
    });
  }
}
template <class T, class Team, int pieces, int width, bool whole, int known, bool centred, bool scaled, bool biased,
          class Int>
DEVICE void normalise_rows(const GeneratedArgs<4>& args, double eps) {
  typedef ComputeOf<T> A;
  const Int columns = known > 0 ? static_cast<Int>(known) : static_cast<Int>(args.head.columns);
  const A part = A(1) / static_cast<A>(columns);
  // Of 16 bits, both moments are summed at once, beside the row's first element: what is lost where they cancel
  // grows with the columns, and is far below such values' own rounding.
  constexpr bool kOnce = sizeof(T) == 2;
  for (i64 r = Team::first(); Team::goes_on(r, args.head.rows); r += Team::step()) {
    const RowPlace<4, Int> place = place_row<4, Int>(args, r);
    KeptRow<T, Team, pieces, width, whole> row, scale, bias;
    const T* const from = input<T>(args.tensors[0]) + place.at[0];
    row.load(from, columns);
    // All reads start before the sums wait for them.
    const A pivot = centred && kOnce && columns > 0 ? widen(from[0]) : A(0);
    if (scaled) scale.load(input<T>(args.tensors[1]) + place.at[1], columns);
    if (biased) bias.load(input<T>(args.tensors[2]) + place.at[2], columns);
    A mean = 0, spread;
    if (centred && kOnce) {
      Moments<A> sums = {A(0), A(0)};
      row.each(columns, [&](A& x) {
        x -= pivot;
        sums.first += x;
        sums.second += x * x;
      });
      sums = Team::template reduce<AddMoments>(sums);
      mean = sums.first * part;
      spread = sums.second * part - mean * mean;
      if (spread < A(0)) spread = A(0);
    } else {
      if (centred) {
        row.each(columns, [&](A x) { mean += x; });
        mean = Team::template reduce<Add>(mean) * part;
      }
      A squares = 0;
      row.each(columns, [&](A x) { squares += (x - mean) * (x - mean); });
      spread = Team::template reduce<Add>(squares) * part;
    }
    const A by = A(1) / fn_sqrt(spread + static_cast<A>(eps));
#pragma unroll
    for (int p = 0; p < pieces; ++p)
#pragma unroll
      for (int i = 0; i < width; ++i) {
        A y = (row.x[p][i] - mean) * by;
        if (scaled) y *= scale.x[p][i];
        if (biased) y += bias.x[p][i];
        row.x[p][i] = y;
      }
    row.store(output<T>(args.tensors[3]) + place.at[3], columns);
  }
}
template <class T, class Team, int pieces, int width, int known, bool centred, bool scaled, bool biased, class Int>
DEVICE void normalise_kept(const GeneratedArgs<4>& args, double eps) {
  if (width > 1 && args.head.vector)
    normalise_rows<T, Team, pieces, width, true, known, centred, scaled, biased, Int>(args, eps);
  else
    normalise_rows<T, Team, pieces, width, false, known, centred, scaled, biased, Int>(args, eps);
}

// What a reduction starts from, and what becomes of it.
template <class Op, class S> struct Start {
  DEVICE static S value() { return S(0); }
};
template <class S> struct Start<Multiply, S> {
  DEVICE static S value() { return S(1); }
};
template <class S> struct Start<All, S> {
  DEVICE static S value() { return S(1); }
};
template <class S> struct Extreme {
  DEVICE static S low() { return S(-9223372036854775807LL - 1); }
  DEVICE static S high() { return S(9223372036854775807LL); }
};
template <> struct Extreme<float> {
  DEVICE static float low() { return -infinity(); }
  DEVICE static float high() { return infinity(); }
};
template <> struct Extreme<double> {
  DEVICE static double low() { return -static_cast<double>(infinity()); }
  DEVICE static double high() { return static_cast<double>(infinity()); }
};
template <class S> struct Start<Most, S> {
  DEVICE static S value() { return Extreme<S>::low(); }
};
template <class S> struct Start<Least, S> {
  DEVICE static S value() { return Extreme<S>::high(); }
};

template <class A, bool tests> struct Kept { typedef typename Sum<A>::type type; };
template <class A> struct Kept<A, true> { typedef i32 type; };

// Op of all columns; any and all are of whether they are not 0.
template <class T, class To, class Team, class Op, bool mean, bool tests, class Int>
DEVICE void reduce_rows(const GeneratedArgs<2>& args) {
  typedef ComputeOf<T> A;
  typedef typename Kept<A, tests>::type S;
  const i64 rows = args.head.rows;
  const Int columns = static_cast<Int>(args.head.columns);
  for (i64 r = Team::first(); Team::goes_on(r, rows); r += Team::step()) {
    const bool real = r < rows;
    const RowPlace<2, Int> place = place_row<2, Int>(args, real ? r : rows - 1);
    S sum = Start<Op, S>::value();
    for (Int c = Team::rank(); c < columns; c += Team::kSize) {
      const A x = widen(input<T>(args.tensors[0])[column_at<2, Int>(args, place, 0, c)]);
      sum = Op::of(sum, tests ? S(x != A(0)) : static_cast<S>(x));
    }
    sum = Team::template reduce<Op>(sum);
    if (mean) sum = static_cast<S>(sum / static_cast<S>(args.head.columns));
    if (real && Team::rank() == 0) output<To>(args.tensors[1])[place.at[1]] = narrow<To>(sum);
  }
}

// The same for `width` rows at once that are neighbours in memory, as the host counts them, with columns of one
// dimension.
template <class S, int width> struct Sums {
  S values[width];
};
template <class Op> struct OfEach {
  template <class S, int width> DEVICE static Sums<S, width> of(const Sums<S, width>& a, const Sums<S, width>& b) {
    Sums<S, width> sums;
#pragma unroll
    for (int i = 0; i < width; ++i) sums.values[i] = Op::of(a.values[i], b.values[i]);
    return sums;
  }
};
template <class T, class To, class Team, class Op, bool mean, bool tests, int width, class Int>
DEVICE void reduce_row_runs(const GeneratedArgs<2>& args) {
  typedef ComputeOf<T> A;
  typedef typename Kept<A, tests>::type S;
  constexpr int kBatch = 4;  // reads that start before the first is waited for
  const i64 rows = args.head.rows;
  const Int columns = static_cast<Int>(args.head.columns), step = static_cast<Int>(args.tensors[0].strides[args.head.outer]);
  for (i64 r = Team::first(); Team::goes_on(r, rows); r += Team::step()) {
    const bool real = r < rows;
    const RowPlace<2, Int> place = place_row<2, Int>(args, real ? r : rows - 1);
    const T* const from = input<T>(args.tensors[0]) + place.at[0];
    Sums<S, width> sums;
#pragma unroll
    for (int i = 0; i < width; ++i) sums.values[i] = Start<Op, S>::value();
    for (Int c = Team::rank(); c < columns; c += kBatch * Team::kSize) {
      Run<T, width> runs[kBatch];
#pragma unroll
      for (int k = 0; k < kBatch; ++k)
        if (c + k * Team::kSize < columns) runs[k] = read_run<T, width>(from + (c + k * Team::kSize) * step);
#pragma unroll
      for (int k = 0; k < kBatch; ++k)
        if (c + k * Team::kSize < columns) {
#pragma unroll
          for (int i = 0; i < width; ++i) {
            const A x = widen(runs[k].values[i]);
            sums.values[i] = Op::of(sums.values[i], tests ? S(x != A(0)) : static_cast<S>(x));
          }
        }
    }
    sums = Team::template reduce<OfEach<Op>>(sums);
    if (!real || Team::rank() != 0) continue;
    Run<To, width> run;
#pragma unroll
    for (int i = 0; i < width; ++i)
      run.values[i] =
          narrow<To>(mean ? static_cast<S>(sums.values[i] / static_cast<S>(args.head.columns)) : sums.values[i]);
    write_run<To, width>(output<To>(args.tensors[1]) + place.at[1], run);
  }
}
template <class T, class To, class Team, class Op, bool mean, bool tests, int width, class Int>
DEVICE void reduce_neighbours(const GeneratedArgs<2>& args) {
  if (args.head.vector)
    reduce_row_runs<T, To, Team, Op, mean, tests, width, Int>(args);
  else
    reduce_rows<T, To, Team, Op, mean, tests, Int>(args);
}

template <class T, class Team, bool most, class Int>
DEVICE void arg_reduce_rows(const GeneratedArgs<2>& args) {
  typedef ComputeOf<T> A;
  const i64 rows = args.head.rows;
  const Int columns = static_cast<Int>(args.head.columns);
  for (i64 r = Team::first(); Team::goes_on(r, rows); r += Team::step()) {
    const bool real = r < rows;
    const RowPlace<2, Int> place = place_row<2, Int>(args, real ? r : rows - 1);
    // A thread without a column takes the first one's: the better of equals is unchanged.
    Pair<A> best = {widen(input<T>(args.tensors[0])[place.at[0]]), 0};
    for (Int c = Team::rank(); c < columns; c += Team::kSize) {
      const Pair<A> here = {widen(input<T>(args.tensors[0])[column_at<2, Int>(args, place, 0, c)]),
                            static_cast<i64>(c)};
      best = Best<most>::of(best, here);
    }
    best = Team::template reduce<Best<most>>(best);
    if (real && Team::rank() == 0) output<i64>(args.tensors[1])[place.at[1]] = best.index;
  }
}

// Running sums: a warp takes 32 columns at a time.
template <class T, int warps, class Int>
DEVICE void cumsum_rows(const GeneratedArgs<2>& args) {
  typedef WarpTeam<warps> Team;
  typedef typename Sum<ComputeOf<T>>::type S;
  const i64 rows = args.head.rows;
  const Int columns = static_cast<Int>(args.head.columns);
  const int lane = Team::rank();
  for (i64 r = Team::first(); r < rows; r += Team::step()) {
    const RowPlace<2, Int> place = place_row<2, Int>(args, r);
    S before = 0;
    for (Int begin = 0; begin < columns; begin += 32) {
      const Int c = begin + lane;
      S sum = 0;
      if (c < columns)
        sum = static_cast<S>(widen(input<T>(args.tensors[0])[column_at<2, Int>(args, place, 0, c)]));
#pragma unroll
      for (int by = 1; by < 32; by <<= 1) {
        const S other = SHUFFLE_UP(sum, by);
        if (lane >= by) sum = wrap_add(sum, other);
      }
      sum = wrap_add(sum, before);
      if (c < columns) output<T>(args.tensors[1])[column_at<2, Int>(args, place, 1, c)] = narrow<T>(sum);
      before = SHUFFLE(sum, 31);
    }
  }
}
