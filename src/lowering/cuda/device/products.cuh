// Matrix products and attention for what the libraries do not take: any dtype, any strides, any size.

// Tensors: a, b, bias, residual, y, each with strides of [batch.., M, N] (a: [batch.., M, K], b: [batch.., K,
// N]); a grid of tiles: x over N, y over M, z over batches. numbers: K.
template <class T, int rank, class E, class Int>
DEVICE void multiply(const GeneratedArgs<5>& args) {
  typedef ComputeOf<T> A;
  constexpr int kSide = 16;
  SHARED A a_tile[kSide][kSide + 1];
  SHARED A b_tile[kSide][kSide + 1];
  const GeneratedTensor &a = args.tensors[0], &b = args.tensors[1];
  const Int rows = static_cast<Int>(args.head.sizes[rank - 2]), columns = static_cast<Int>(args.head.sizes[rank - 1]);
  const Int depth = static_cast<Int>(args.head.numbers[0]);
  const Int row_tiles = (rows + kSide - 1) / kSide, column_tiles = (columns + kSide - 1) / kSide;
  const Int tiles = static_cast<Int>(args.head.rows) * row_tiles * column_tiles;
  for (Int tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
    const Int rest = tile / column_tiles, batch = rest / row_tiles;
    const Int column = (tile - rest * column_tiles) * kSide + threadIdx.x;
    const Int row = (rest - batch * row_tiles) * kSide + threadIdx.y;
    Int at[5] = {0, 0, 0, 0, 0};
    add_offsets<5, Int>(args.head, args.tensors, 0, rank - 2, batch, at);
    A sum = 0;
    for (Int k0 = 0; k0 < depth; k0 += kSide) {
      const Int a_k = k0 + threadIdx.x, b_k = k0 + threadIdx.y;
      a_tile[threadIdx.y][threadIdx.x] =
          row < rows && a_k < depth
              ? widen(input<T>(a)[at[0] + row * static_cast<Int>(a.strides[rank - 2]) +
                                  a_k * static_cast<Int>(a.strides[rank - 1])])
              : A(0);
      b_tile[threadIdx.y][threadIdx.x] =
          column < columns && b_k < depth
              ? widen(input<T>(b)[at[1] + b_k * static_cast<Int>(b.strides[rank - 2]) +
                                  column * static_cast<Int>(b.strides[rank - 1])])
              : A(0);
      SYNC();
#pragma unroll
      for (int k = 0; k < kSide; ++k) sum = wrap_add(sum, wrap_mul(a_tile[threadIdx.y][k], b_tile[k][threadIdx.x]));
      SYNC();
    }
    if (row < rows && column < columns) {
      const auto place = [&](int k) {
        return at[k] + row * static_cast<Int>(args.tensors[k].strides[rank - 2]) +
               column * static_cast<Int>(args.tensors[k].strides[rank - 1]);
      };
      if (args.tensors[2].data) sum = wrap_add(sum, widen(input<T>(args.tensors[2])[place(2)]));
      if (args.tensors[3].data) sum = wrap_add(sum, widen(input<T>(args.tensors[3])[place(3)]));
      output<T>(args.tensors[4])[place(4)] = narrow<T>(E::of(sum));
    }
  }
}

// A score with its mask added; -inf: a weight of 0, unless the score was NaN or +inf.
template <class A> DEVICE A masked(A score, b8 attend) { return attend.bits != 0 ? score : score - infinity(); }
template <class A, class M> DEVICE A masked(A score, M added) { return score + widen(added); }

// The same of a score in powers of 2.
DEVICE float masked_power(float score, b8 attend) { return masked(score, attend); }
template <class M> DEVICE float masked_power(float score, M added) {
  return score + static_cast<float>(widen(added)) * 1.4426950408889634f;
}

// A warp a query. Tensors: q, k, v, mask, y with dimensions [batch.., H, S, D] (k
// and v: [batch.., G, T, ..]). numbers: T, H / G. The mask has M as its type,
// or is absent. Keys are taken 32 at a time, one a lane; the values' width is spread over the lanes.
template <class T, class M, int rank, int depth, int width, bool causal, int warps, class Int>
DEVICE void attend(const GeneratedArgs<5>& args, double scale) {
  typedef ComputeOf<T> A;
  typedef WarpTeam<warps> Team;
  constexpr int kParts = (width + 31) / 32;
  SHARED A queries[warps][depth];
  const int warp = threadIdx.x >> 5, lane = threadIdx.x & 31;
  const GeneratedTensor &q = args.tensors[0], &k = args.tensors[1], &v = args.tensors[2], &mask = args.tensors[3];
  const i64 rows = args.head.rows;  // batches, heads and queries
  const Int keys = static_cast<Int>(args.head.numbers[0]), share = static_cast<Int>(args.head.numbers[1]);
  const Int query_count = static_cast<Int>(args.head.sizes[rank - 2]), heads = static_cast<Int>(args.head.sizes[rank - 3]);
  for (i64 r = Team::first(); r < rows; r += Team::step()) {
    const Int head_index = static_cast<Int>(r) / query_count, s = static_cast<Int>(r) - head_index * query_count;
    const Int batch = head_index / heads, head = head_index - batch * heads;
    Int at[5] = {0, 0, 0, 0, 0};
    add_offsets<5, Int>(args.head, args.tensors, 0, rank - 3, batch, at);
#pragma unroll
    for (int i = 0; i < 5; ++i) {
      const bool shared = i == 1 || i == 2;
      at[i] += (shared ? head / share : head) * static_cast<Int>(args.tensors[i].strides[rank - 3]);
      if (!shared) at[i] += s * static_cast<Int>(args.tensors[i].strides[rank - 2]);
    }
    for (int d = lane; d < depth; d += 32)
      queries[warp][d] = widen(input<T>(q)[at[0] + d * static_cast<Int>(q.strides[rank - 1])]);
    SYNC_WARP();
    A most = -infinity(), total = 0, sum[kParts];
#pragma unroll
    for (int i = 0; i < kParts; ++i) sum[i] = 0;
    const Int seen = causal && s + 1 < keys ? s + 1 : keys;
    for (Int begin = 0; begin < seen; begin += 32) {
      const Int t = begin + lane;
      A score = -infinity();
      if (t < seen) {
        const Int k_at = at[1] + t * static_cast<Int>(k.strides[rank - 2]);
        A dot = 0;
        for (int d = 0; d < depth; ++d)
          dot += queries[warp][d] * widen(input<T>(k)[k_at + d * static_cast<Int>(k.strides[rank - 1])]);
        score = dot * static_cast<A>(scale);
        if (mask.data) score = masked(score, input<M>(mask)[at[3] + t * static_cast<Int>(mask.strides[rank - 1])]);
      }
      const A high = fn_maximum(most, reduce_warp<Most>(score));
      const A weight = score == -infinity() ? A(0) : fn_exp(score - high);
      const A keep = most == -infinity() ? A(0) : fn_exp(most - high);
      total = total * keep + reduce_warp<Add>(weight);
#pragma unroll
      for (int i = 0; i < kParts; ++i) sum[i] *= keep;
      const int count = seen - begin < 32 ? static_cast<int>(seen - begin) : 32;
      for (int j = 0; j < count; ++j) {
        const A share_of = SHUFFLE(weight, j);
        const Int v_at = at[2] + (begin + j) * static_cast<Int>(v.strides[rank - 2]);
#pragma unroll
        for (int i = 0; i < kParts; ++i) {
          const int e = i * 32 + lane;
          if (e < width) sum[i] += share_of * widen(input<T>(v)[v_at + e * static_cast<Int>(v.strides[rank - 1])]);
        }
      }
      most = high;
    }
#pragma unroll
    for (int i = 0; i < kParts; ++i) {
      const int e = i * 32 + lane;
      if (e < width)
        output<T>(args.tensors[4])[at[4] + e * static_cast<Int>(args.tensors[4].strides[rank - 1])] =
            narrow<T>(total == A(0) ? sum[i] : sum[i] / total);
    }
    SYNC_WARP();
  }
}
