// What attention on tensor cores (attention.cuh) is made of: tiles of keys and values in shared memory, products of fragments,
// and sums that follow the greatest score: the online softmax of Milakov and Gimelshein (2018).
template <class T, int depth, int width, int query_warps, int key_warps, int tile_keys> struct AttentionTile {
  static constexpr int kDepth = depth, kWidth = width, kQueryWarps = query_warps, kKeyWarps = key_warps,
                       kTileKeys = tile_keys;
  static constexpr int kThreads = 32 * query_warps * key_warps, kQueries = 16 * query_warps;
  static constexpr int kKeys = tile_keys / key_warps;  // of a tile, a warp
  static constexpr int kD = (depth + 15) / 16 * 16, kE = (width + 15) / 16 * 16;
  static constexpr int kDepthPitch = kD + 8, kWidthPitch = kE + 8;  // 16 bytes off: rows meet in different banks
  static constexpr int kValues = tile_keys * kDepthPitch;           // elements before them
  // What a warp hands to the one that ends its queries: sums, and of each query the greatest power and the total.
  static constexpr int kPartFloats = 16 * (kE + 2);
  static constexpr int kTileBytes = tile_keys * (kDepthPitch + kWidthPitch) * 2;
  static constexpr int kPartBytes = query_warps * (key_warps - 1) * kPartFloats * 4;
  static constexpr int kResultBytes = key_warps == 1 ? kQueries * kWidthPitch * 2 : 0;
  static constexpr int kLarger = kTileBytes > kPartBytes ? kTileBytes : kPartBytes;
  static constexpr int kBytes = kLarger > kResultBytes ? kLarger : kResultBytes;
};

// Which queries and keys are a thread's.
template <class Int> struct AttentionSeat {
  Int queries, keys, first_row;  // the first of the warp's queries
  int query_warp, key_warp, g, t;
  DEVICE Int row(int i) const { return first_row + g + i * 8; }
  DEVICE Int real_row(int i) const { return row(i) < queries ? row(i) : queries - 1; }
};

// The queries of a block, of one head, and where the block's tensors (q, k, v, mask, y) begin.
template <int rank, int count, bool causal, class Int> struct AttentionBlock {
  Int queries, keys;
  Int first, last;  // its first query; keys that any of them sees
  Int at[5] = {0, 0, 0, 0, 0};

  DEVICE explicit AttentionBlock(const GeneratedArgs<5>& args) {
    const GeneratedHead& head = args.head;
    queries = static_cast<Int>(head.sizes[rank - 2]);
    keys = static_cast<Int>(head.numbers[0]);
    const Int heads = static_cast<Int>(head.sizes[rank - 3]), share = static_cast<Int>(head.numbers[1]);
    const Int blocks_a_head = (queries + count - 1) / count;
    const Int head_index = blockIdx.x / blocks_a_head, batch = head_index / heads, head_of = head_index - batch * heads;
    first = (blockIdx.x - head_index * blocks_a_head) * count;
    last = causal && first + count < keys ? first + count : keys;
    add_offsets<5, Int>(head, args.tensors, 0, rank - 3, batch, at);
#pragma unroll
    for (int i = 0; i < 5; ++i)
      at[i] += (i == 1 || i == 2 ? head_of / share : head_of) * static_cast<Int>(args.tensors[i].strides[rank - 3]);
  }
};

// Of NaN and a number it is the number: NaN comes back with the exponential.
DEVICE float larger(float a, float b) { return fmaxf(a, b); }

// A tile's rows of `width` elements, `pitch` of them apart in shared memory; rows past `count`, and columns
// past the width, are 0. With `vector` the copies are a group to be waited for.
template <class T, int rows, int width, int padded, int pitch, int threads, class Int>
DEVICE void start_tile(T* tile, const T* from, Int stride, Int step, int count, bool vector) {
  const int thread = threadIdx.x;
  if (vector) {
    constexpr int kRuns = padded / 8, kCopies = (rows * kRuns + threads - 1) / threads;
    if constexpr (threads % kRuns == 0 && rows % (threads / kRuns) == 0) {
      // A thread copies the same columns of every kRowsAtOnce-th row.
      constexpr int kRowsAtOnce = threads / kRuns;
      const int row = thread / kRuns, column = thread % kRuns * 8;
      const SharedPlace to = shared_place(tile + row * pitch + column);
      const bool inside = column < width;
      const T* place = from + static_cast<Int>(row) * stride + column;
      const long long by = static_cast<long long>(stride) * kRowsAtOnce;
#pragma unroll
      for (int i = 0; i < kCopies; ++i, place += by) {
        const bool real = inside && row + i * kRowsAtOnce < count;
        start_copy(to + i * kRowsAtOnce * pitch * 2, place, real);
      }
    } else {
#pragma unroll
      for (int i = 0; i < kCopies; ++i) {
        const int run = i * threads + thread, row = run / kRuns, column = (run - row * kRuns) * 8;
        const bool real = row < count && column < width;
        if (row < rows)
          start_copy(tile + row * pitch + column, from + static_cast<Int>(row) * stride + column, real);
      }
    }
  } else {
    for (int i = thread; i < rows * padded; i += threads) {
      const int row = i / padded, column = i - row * padded;
      const bool real = row < count && column < width;
      tile[row * pitch + column] = real ? from[static_cast<Int>(row) * stride + static_cast<Int>(column) * step] : T{0};
    }
  }
  end_group();
}

// The warp's queries, as the first operand of products: 16 depths a part.
template <class T, class Tile, class Int>
DEVICE void read_queries(unsigned (&parts)[Tile::kD / 16][4], const T* from, Int stride, Int step,
                         const AttentionSeat<Int>& seat, bool vector) {
  const T* const rows[2] = {from + seat.row(0) * stride, from + seat.row(1) * stride};
  const auto column_of = [&](int c, int i) { return c * 16 + (i >> 1) * 8 + 2 * seat.t; };
  if (vector) {
#pragma unroll
    for (int c = 0; c < Tile::kD / 16; ++c)
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const bool real = seat.row(i & 1) < seat.queries && column_of(c, i) < Tile::kDepth;
        parts[c][i] = real ? *reinterpret_cast<const unsigned*>(rows[i & 1] + column_of(c, i)) : 0u;
      }
    return;
  }
#pragma unroll
  for (int c = 0; c < Tile::kD / 16; ++c)
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int column = column_of(c, i);
      const bool real = seat.row(i & 1) < seat.queries && column < Tile::kDepth;
      const float low = real ? widen(rows[i & 1][static_cast<Int>(column) * step]) : 0.0f;
      const float high = real && column + 1 < Tile::kDepth ? widen(rows[i & 1][static_cast<Int>(column + 1) * step]) : 0.0f;
      parts[c][i] = pack_pair(T{0}, low, high);
    }
}

// Scores of 16 queries by the warp's keys, 8 of them a part; `keys` is the lane's place in the first.
template <class T, class Tile>
DEVICE void score_keys(float (&score)[Tile::kKeys / 8][4], const unsigned (&queries)[Tile::kD / 16][4], SharedPlace keys) {
#pragma unroll
  for (int n = 0; n < Tile::kKeys / 8; n += 2) {
#pragma unroll
    for (int i = 0; i < 4; ++i) score[n][i] = score[n + 1][i] = 0;
#pragma unroll
    for (int c = 0; c < Tile::kD / 16; ++c) {
      // Matrices: keys n * 8 … by depths c * 16 …, then the depths 8 further; the same of the next 8 keys.
      const Matrices m = load_matrices<false>(keys + (n * 8 * Tile::kDepthPitch + c * 16) * 2);
      multiply_add<T>(score[n], queries[c], m.parts[0], m.parts[1]);
      multiply_add<T>(score[n + 1], queries[c], m.parts[2], m.parts[3]);
    }
  }
}

// Makes powers of 2 of a tile's scores, `by` for each, and hides what the queries are not to see.
template <class Tile, bool causal, class Mask, class Int>
DEVICE void mask_scores(float (&score)[Tile::kKeys / 8][4], const Mask& added, float by, Int begin, const AttentionSeat<Int>& seat) {
#pragma unroll
  for (int n = 0; n < Tile::kKeys / 8; ++n)
#pragma unroll
    for (int i = 0; i < 4; ++i) score[n][i] = added.of(score[n][i] * by, begin, n, i >> 1, i & 1);
  if (!causal || begin + Tile::kTileKeys <= seat.first_row) return;
#pragma unroll
  for (int n = 0; n < Tile::kKeys / 8; ++n)
#pragma unroll
    for (int i = 0; i < 4; ++i)
      if (begin + seat.key_warp * Tile::kKeys + n * 8 + 2 * seat.t + (i & 1) > seat.row(i >> 1)) score[n][i] = -infinity();
}

// Of a thread's two queries: exponents are of 2.
template <class Tile> struct AttentionSums {
  float most[2], total[2], sum[Tile::kE / 8][4];

  DEVICE AttentionSums() : most{-infinity(), -infinity()}, total{0, 0} {
#pragma unroll
    for (int e = 0; e < Tile::kE / 8; ++e)
#pragma unroll
      for (int i = 0; i < 4; ++i) sum[e][i] = 0;
  }

  // Makes probabilities of a tile's scores, against the greatest score so far, and scales the sums to it.
  DEVICE void take(float (&score)[Tile::kKeys / 8][4]) {
    float high[2] = {most[0], most[1]}, from[2], keep[2];
#pragma unroll
    for (int n = 0; n < Tile::kKeys / 8; ++n)
#pragma unroll
      for (int i = 0; i < 4; ++i) high[i >> 1] = larger(high[i >> 1], score[n][i]);
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      high[i] = larger(high[i], SHUFFLE_XOR(high[i], 1));
      high[i] = larger(high[i], SHUFFLE_XOR(high[i], 2));
      from[i] = high[i] == -infinity() ? 0.0f : high[i];  // so that -inf less it is -inf, never NaN
      keep[i] = exp2_of(most[i] - from[i]);
      most[i] = high[i];
      total[i] *= keep[i];
    }
#pragma unroll
    for (int n = 0; n < Tile::kKeys / 8; ++n)
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        score[n][i] = exp2_of(score[n][i] - from[i >> 1]);
        total[i >> 1] += score[n][i];
      }
#pragma unroll
    for (int e = 0; e < Tile::kE / 8; ++e)
#pragma unroll
      for (int i = 0; i < 4; ++i) sum[e][i] *= keep[i >> 1];
  }

  // Adds the values by their probabilities, whose fragments are those of a first operand, two parts at a time; `values`
  // is the lane's place in the first.
  template <class T> DEVICE void add(const float (&part)[Tile::kKeys / 8][4], SharedPlace values) {
#pragma unroll
    for (int n = 0; n < Tile::kKeys / 8; n += 2) {
      const unsigned p[4] = {pack_pair(T{0}, part[n][0], part[n][1]), pack_pair(T{0}, part[n][2], part[n][3]),
                             pack_pair(T{0}, part[n + 1][0], part[n + 1][1]),
                             pack_pair(T{0}, part[n + 1][2], part[n + 1][3])};
#pragma unroll
      for (int e = 0; e < Tile::kE / 8; e += 2) {
        // Matrices, turned: keys n * 8 … by columns e * 8 …, the keys 8 further; the same of the next columns.
        const Matrices m = load_matrices<true>(values + (n * 8 * Tile::kWidthPitch + e * 8) * 2);
        multiply_add<T>(sum[e], p, m.parts[0], m.parts[1]);
        multiply_add<T>(sum[e + 1], p, m.parts[2], m.parts[3]);
      }
    }
  }

  DEVICE void join_lanes() {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      total[i] += SHUFFLE_XOR(total[i], 1);
      total[i] += SHUFFLE_XOR(total[i], 2);
    }
  }

  template <class Int> DEVICE void hand_over(float* part, const AttentionSeat<Int>& seat) const {
    const int lane = threadIdx.x & 31;
#pragma unroll
    for (int i = 0; i < 2; ++i)
      if (seat.t == 0) {
        part[16 * Tile::kE + seat.g + i * 8] = most[i];
        part[16 * Tile::kE + 16 + seat.g + i * 8] = total[i];
      }
#pragma unroll
    for (int e = 0; e < Tile::kE / 8; ++e)
#pragma unroll
      for (int i = 0; i < 4; ++i) part[(e * 4 + i) * 32 + lane] = sum[e][i];
  }

  template <class Int> DEVICE void join(const float* part, const AttentionSeat<Int>& seat) {
    const int lane = threadIdx.x & 31;
    float mine[2], theirs[2];
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const float their_most = part[16 * Tile::kE + seat.g + i * 8];
      const float high = larger(most[i], their_most);
      mine[i] = most[i] == -infinity() ? 0.0f : exp2_of(most[i] - high);
      theirs[i] = their_most == -infinity() ? 0.0f : exp2_of(their_most - high);
      most[i] = high;
      total[i] = total[i] * mine[i] + part[16 * Tile::kE + 16 + seat.g + i * 8] * theirs[i];
    }
#pragma unroll
    for (int e = 0; e < Tile::kE / 8; ++e)
#pragma unroll
      for (int i = 0; i < 4; ++i) sum[e][i] = sum[e][i] * mine[i >> 1] + part[(e * 4 + i) * 32 + lane] * theirs[i >> 1];
  }
};

// The warp's 16 results. In vectors they go through `shared`, room of the warp's own, so that whole rows are written.
template <class T, class Tile, class Int>
DEVICE void write_results(const AttentionSums<Tile>& sums, T* to, Int stride, Int step, T* shared,
                          const AttentionSeat<Int>& seat, bool vector) {
  const float by[2] = {sums.total[0] == 0.0f ? 0.0f : 1.0f / sums.total[0],
                       sums.total[1] == 0.0f ? 0.0f : 1.0f / sums.total[1]};
  constexpr int kPitch = Tile::kWidthPitch, kRuns = Tile::kWidth / 8;
  if (Tile::kWidth % 8 == 0 && vector) {
    SYNC_WARP();  // all lanes have read what lies there
#pragma unroll
    for (int e = 0; e < Tile::kE / 8; ++e)
#pragma unroll
      for (int i = 0; i < 2; ++i)
        *reinterpret_cast<unsigned*>(shared + (seat.g + i * 8) * kPitch + e * 8 + 2 * seat.t) =
            pack_pair(T{0}, sums.sum[e][2 * i] * by[i], sums.sum[e][2 * i + 1] * by[i]);
    SYNC_WARP();
#pragma unroll
    for (int i = threadIdx.x & 31; i < 16 * kRuns; i += 32) {
      const int row = i / kRuns, column = (i - row * kRuns) * 8;
      if (seat.first_row + row < seat.queries)
        *reinterpret_cast<Piece16*>(to + (seat.first_row + row) * stride + column) =
            *reinterpret_cast<const Piece16*>(shared + row * kPitch + column);
    }
    return;
  }
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    if (seat.row(i) >= seat.queries) continue;
    T* const row = to + seat.row(i) * stride;
#pragma unroll
    for (int e = 0; e < Tile::kE / 8; ++e)
#pragma unroll
      for (int j = 0; j < 2; ++j) {
        const int column = e * 8 + 2 * seat.t + j;
        if (column < Tile::kWidth) row[static_cast<Int>(column) * step] = narrow<T>(sums.sum[e][2 * i + j] * by[i]);
      }
  }
}
