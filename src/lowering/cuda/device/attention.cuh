// Attention on tensor cores, of f16 and bf16: any mask, any number of queries and keys, heads of up to 128.
//
// A block takes 16 queries for each of its `query_warps`, and walks the keys in tiles of `tile_keys` that lie in
// shared memory; `key_warps` warps share the queries and take a part of each tile's keys, and put their sums
// together at the end. Probabilities never leave the registers. Tensors and numbers are as in attend();
// `vector` says that rows can be read 16 bytes at a time.
// NaN is not kept here: it comes back with the exponential.
DEVICE float larger(float a, float b) { return a > b ? a : b; }

// A tile's rows of `width` elements, `pitch` of them apart in shared memory; rows past `count`, and columns
// past the width, are 0. With `vector` the copies are a group to be waited for.
template <class T, int tile_keys, int width, int padded, int pitch, int threads, class Int>
DEVICE void start_tile(T* tile, const T* from, Int stride, Int step, Int count, bool vector) {
  const int thread = threadIdx.x;
  constexpr int kRuns = padded / 8;
  if (vector) {
#pragma unroll
    for (int i = 0; i < tile_keys * kRuns / threads; ++i) {
      const int run = i * threads + thread, row = run / kRuns, column = (run - row * kRuns) * 8;
      const bool real = static_cast<Int>(row) < count && column < width;
      start_copy(tile + row * pitch + column, real ? from + static_cast<Int>(row) * stride + column : from, real);
    }
  } else {
    for (int i = thread; i < tile_keys * padded; i += threads) {
      const int row = i / padded, column = i - row * padded;
      const bool real = static_cast<Int>(row) < count && column < width;
      tile[row * pitch + column] = real ? from[static_cast<Int>(row) * stride + static_cast<Int>(column) * step] : T{0};
    }
  }
  end_group();
}

template <class T, class M, int rank, int depth, int width, bool causal, int query_warps, int key_warps,
          int tile_keys, bool varied, class Int>
DEVICE void attend_tiles(const GeneratedArgs<5>& args, double scale) {
  constexpr int kD = (depth + 15) / 16 * 16, kE = (width + 15) / 16 * 16;
  constexpr int kDepthPitch = kD + 8, kWidthPitch = kE + 8;  // 16 bytes off: rows meet in different banks
  constexpr int kThreads = 32 * query_warps * key_warps;
  constexpr int kKeys = tile_keys / key_warps;  // of a tile, a warp
  constexpr int kQueries = 16 * query_warps;
  constexpr int kTileBytes = tile_keys * (kDepthPitch + kWidthPitch) * 2;
  constexpr int kPartFloats = 16 * (kE + 2);
  constexpr int kPartBytes = query_warps * (key_warps - 1) * kPartFloats * 4;
  SHARED Piece16 shared[(kTileBytes > kPartBytes ? kTileBytes : kPartBytes) / 16];
  T* const k_tile = reinterpret_cast<T*>(shared);
  T* const v_tile = k_tile + tile_keys * kDepthPitch;

  const GeneratedHead& head = args.head;
  const GeneratedTensor &q = args.tensors[0], &k = args.tensors[1], &v = args.tensors[2], &mask = args.tensors[3],
                        &y = args.tensors[4];
  const bool vector = head.vector;
  const int warp = threadIdx.x >> 5, lane = threadIdx.x & 31, g = lane >> 2, t = lane & 3;
  const int query_warp = warp / key_warps, key_warp = warp - query_warp * key_warps;
  const Int queries = static_cast<Int>(head.sizes[rank - 2]), heads = static_cast<Int>(head.sizes[rank - 3]);
  const Int keys = static_cast<Int>(head.numbers[0]), share = static_cast<Int>(head.numbers[1]);
  const Int blocks_a_head = (queries + kQueries - 1) / kQueries;
  const Int head_index = blockIdx.x / blocks_a_head, batch = head_index / heads, head_of = head_index - batch * heads;
  const Int q0 = (blockIdx.x - head_index * blocks_a_head) * kQueries;
  Int at[5] = {0, 0, 0, 0, 0};
  add_offsets<5, Int>(head, args.tensors, 0, rank - 3, batch, at);
#pragma unroll
  for (int i = 0; i < 5; ++i)
    at[i] += (i == 1 || i == 2 ? head_of / share : head_of) * static_cast<Int>(args.tensors[i].strides[rank - 3]);

  const Int k_stride = static_cast<Int>(k.strides[rank - 2]), v_stride = static_cast<Int>(v.strides[rank - 2]);
  const auto start_keys = [&](Int begin) {
    start_tile<T, tile_keys, depth, kD, kDepthPitch, kThreads, Int>(k_tile, input<T>(k) + at[1] + begin * k_stride, k_stride,
                                                         static_cast<Int>(k.strides[rank - 1]), keys - begin, vector);
  };
  const auto start_values = [&](Int begin) {
    start_tile<T, tile_keys, width, kE, kWidthPitch, kThreads, Int>(v_tile, input<T>(v) + at[2] + begin * v_stride, v_stride,
                                                         static_cast<Int>(v.strides[rank - 1]), keys - begin, vector);
  };
  const Int last = causal && q0 + kQueries < keys ? q0 + kQueries : keys;  // no query sees more
  // A mask that is one row for all queries, as most are, or none: what it adds to the keys of a tile. One that is
  // `varied` differs from query to query.
  SHARED float row_mask[tile_keys];
  const Int mask_row = static_cast<Int>(mask.strides[rank - 2]), mask_step = static_cast<Int>(mask.strides[rank - 1]);
  constexpr bool one_row = !varied;
  const auto fill_mask = [&](Int begin) {
    for (int i = threadIdx.x; i < tile_keys; i += kThreads) {
      const Int key = begin + i;
      const bool real = key < keys;
      row_mask[i] = !real ? -infinity() : mask.data ? masked_power(0.0f, input<M>(mask)[at[3] + key * mask_step]) : 0.0f;
    }
  };
  if (last > 0) {
    start_keys(0);
    start_values(0);
    if (one_row) fill_mask(0);
  }

  const Int row[2] = {q0 + query_warp * 16 + g, q0 + query_warp * 16 + g + 8};
  unsigned q_parts[kD / 16][4];
  const T* const q_row[2] = {input<T>(q) + at[0] + row[0] * static_cast<Int>(q.strides[rank - 2]),
                             input<T>(q) + at[0] + row[1] * static_cast<Int>(q.strides[rank - 2])};
#pragma unroll
  for (int c = 0; c < kD / 16; ++c)
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int column = c * 16 + (i >> 1) * 8 + 2 * t;
      const bool real = row[i & 1] < queries && column < depth;
      if (vector) {
        q_parts[c][i] = real ? *reinterpret_cast<const unsigned*>(q_row[i & 1] + column) : 0u;
      } else {
        const Int step = static_cast<Int>(q.strides[rank - 1]);
        const float low = real ? widen(q_row[i & 1][static_cast<Int>(column) * step]) : 0.0f;
        const float high = real && column + 1 < depth ? widen(q_row[i & 1][static_cast<Int>(column + 1) * step]) : 0.0f;
        q_parts[c][i] = pack_pair(T{0}, low, high);
      }
    }

  // Exponents are of 2.
  const float by = static_cast<float>(scale * 1.4426950408889634);
  float most[2] = {-infinity(), -infinity()}, total[2] = {0, 0}, sum[kE / 8][4];
#pragma unroll
  for (int e = 0; e < kE / 8; ++e)
#pragma unroll
    for (int i = 0; i < 4; ++i) sum[e][i] = 0;

  // Of 16 queries by this warp's keys. Read before what they add to is there, and from where something is: reads that
  // hang on a condition would wait for one another.
  M added[kKeys / 8][2][2];
  const auto read_mask = [&](Int begin) {
#pragma unroll
    for (int n = 0; n < kKeys / 8; ++n)
#pragma unroll
      for (int j = 0; j < 2; ++j) {
        const Int key = begin + key_warp * kKeys + n * 8 + 2 * t + j;
        const Int column = at[3] + (key < keys ? key : keys - 1) * mask_step;
#pragma unroll
        for (int i = 0; i < 2; ++i)
          added[n][j][i] = input<M>(mask)[column + (row[i] < queries ? row[i] : queries - 1) * mask_row];
      }
  };

  for (Int begin = 0; begin < last; begin += tile_keys) {
    if (!one_row) read_mask(begin);
    wait_for_groups<1>();  // the keys; the values may still be under way
    SYNC();
    // Scores: 16 queries by this warp's keys, 8 of them a part.
    float score[kKeys / 8][4];
#pragma unroll
    for (int n = 0; n < kKeys / 8; n += 2) {
#pragma unroll
      for (int i = 0; i < 4; ++i) score[n][i] = score[n + 1][i] = 0;
#pragma unroll
      for (int c = 0; c < kD / 16; ++c) {
        // Matrices: keys n * 8 … by depths c * 16 …, then the depths 8 further; the same of the next 8 keys.
        const int key = key_warp * kKeys + n * 8 + (lane & 7) + (lane >> 4) * 8;
        const Matrices m = load_matrices<false>(k_tile + key * kDepthPitch + c * 16 + ((lane >> 3) & 1) * 8);
        multiply_add<T>(score[n], q_parts[c], m.parts[0], m.parts[1]);
        multiply_add<T>(score[n + 1], q_parts[c], m.parts[2], m.parts[3]);
      }
    }
    SYNC();  // all have read the keys
    const bool goes_on = begin + tile_keys < last;
    if (goes_on) start_keys(begin + tile_keys);

    float high[2] = {most[0], most[1]};
#pragma unroll
    for (int n = 0; n < kKeys / 8; ++n)
#pragma unroll
      for (int j = 0; j < 2; ++j) {
        const int in_tile = key_warp * kKeys + n * 8 + 2 * t + j;
        const Int key = begin + in_tile;
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          float x = score[n][2 * i + j] * by;
          if (one_row)
            x += row_mask[in_tile];
          else
            x = key < keys ? x + masked_power(0.0f, added[n][j][i]) : -infinity();
          if (causal && key > row[i]) x = -infinity();
          score[n][2 * i + j] = x;
          high[i] = larger(high[i], x);
        }
      }
    float keep[2], most_of[2];
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      high[i] = larger(high[i], SHUFFLE_XOR(high[i], 1));
      high[i] = larger(high[i], SHUFFLE_XOR(high[i], 2));
      most_of[i] = high[i] == -infinity() ? 0.0f : high[i];  // so that -inf less it is -inf, never NaN
      keep[i] = exp2_of(most[i] - most_of[i]);
      most[i] = high[i];
      total[i] *= keep[i];
    }
#pragma unroll
    for (int n = 0; n < kKeys / 8; ++n)
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        score[n][i] = exp2_of(score[n][i] - most_of[i >> 1]);
        total[i >> 1] += score[n][i];
      }
#pragma unroll
    for (int e = 0; e < kE / 8; ++e)
#pragma unroll
      for (int i = 0; i < 4; ++i) sum[e][i] *= keep[i >> 1];

    if (goes_on)  // the values; the next keys may still be under way
      wait_for_groups<1>();
    else
      wait_for_groups<0>();
    SYNC();
    if (goes_on && one_row) fill_mask(begin + tile_keys);  // all have read this tile's
    // The scores' fragments are those of a first operand, two parts at a time.
#pragma unroll
    for (int n = 0; n < kKeys / 8; n += 2) {
      const unsigned p[4] = {pack_pair(T{0}, score[n][0], score[n][1]), pack_pair(T{0}, score[n][2], score[n][3]),
                             pack_pair(T{0}, score[n + 1][0], score[n + 1][1]),
                             pack_pair(T{0}, score[n + 1][2], score[n + 1][3])};
#pragma unroll
      for (int e = 0; e < kE / 8; e += 2) {
        // Matrices, turned: keys n * 8 … by columns e * 8 …, the keys 8 further; the same of the next columns.
        const int key = key_warp * kKeys + n * 8 + (lane & 15);
        const Matrices m = load_matrices<true>(v_tile + key * kWidthPitch + e * 8 + (lane >> 4) * 8);
        multiply_add<T>(sum[e], p, m.parts[0], m.parts[1]);
        multiply_add<T>(sum[e + 1], p, m.parts[2], m.parts[3]);
      }
    }
    SYNC();  // all have read the values
    if (goes_on) start_values(begin + tile_keys);
  }
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    total[i] += SHUFFLE_XOR(total[i], 1);
    total[i] += SHUFFLE_XOR(total[i], 2);
  }

  if (key_warps > 1) {  // the parts of the others, in their order
    SYNC();
    float* const parts = reinterpret_cast<float*>(shared);
    if (key_warp > 0) {
      float* const part = parts + (query_warp * (key_warps - 1) + key_warp - 1) * kPartFloats;
#pragma unroll
      for (int i = 0; i < 2; ++i)
        if (t == 0) {
          part[16 * kE + g + i * 8] = most[i];
          part[16 * kE + 16 + g + i * 8] = total[i];
        }
#pragma unroll
      for (int e = 0; e < kE / 8; ++e)
#pragma unroll
        for (int i = 0; i < 4; ++i) part[(e * 4 + i) * 32 + lane] = sum[e][i];
    }
    SYNC();
    if (key_warp > 0) return;
    for (int other = 0; other < key_warps - 1; ++other) {
      const float* const part = parts + (query_warp * (key_warps - 1) + other) * kPartFloats;
      float mine[2], theirs[2];
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const float their_most = part[16 * kE + g + i * 8];
        const float high = larger(most[i], their_most);
        mine[i] = most[i] == -infinity() ? 0.0f : exp2_of(most[i] - high);
        theirs[i] = their_most == -infinity() ? 0.0f : exp2_of(their_most - high);
        most[i] = high;
        total[i] = total[i] * mine[i] + part[16 * kE + 16 + g + i * 8] * theirs[i];
      }
#pragma unroll
      for (int e = 0; e < kE / 8; ++e)
#pragma unroll
        for (int i = 0; i < 4; ++i)
          sum[e][i] = sum[e][i] * mine[i >> 1] + part[(e * 4 + i) * 32 + lane] * theirs[i >> 1];
    }
  }
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    if (row[i] >= queries) continue;
    const float part = total[i] == 0.0f ? 0.0f : 1.0f / total[i];
    T* const to = output<T>(y) + at[4] + row[i] * static_cast<Int>(y.strides[rank - 2]);
#pragma unroll
    for (int e = 0; e < kE / 8; ++e) {
      const int column = e * 8 + 2 * t;
      const float low = sum[e][2 * i] * part, high = sum[e][2 * i + 1] * part;
      if (vector && column + 1 < width) {
        *reinterpret_cast<unsigned*>(to + column) = pack_pair(T{0}, low, high);
        continue;
      }
      const Int step = static_cast<Int>(y.strides[rank - 1]);
      if (column < width) to[static_cast<Int>(column) * step] = narrow<T>(low);
      if (column + 1 < width) to[static_cast<Int>(column + 1) * step] = narrow<T>(high);
    }
  }
}
