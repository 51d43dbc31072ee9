// Attention on tensor cores, of f16 and bf16: any mask, any number of queries and keys, heads of up to 128.
//
// A block takes 16 queries for each of its `query_warps`, and walks the keys in tiles of `tile_keys` that lie in
// shared memory, as FlashAttention does (Dao et al., 2022); `key_warps` warps share the queries and take a part of each
// tile's keys, and put their sums together at the end. Probabilities never leave the registers. Tensors and numbers are as
// in attend(); `vector` says that rows can be read 16 bytes at a time. Most of the time goes into issuing instructions, so
// what counts is how few of them a score takes.
template <class T, class M, int rank, int depth, int width, bool causal, int query_warps, int key_warps,
          int tile_keys, bool varied, class Int>
DEVICE void attend_tiles(const GeneratedArgs<5>& args, double scale) {
  typedef AttentionTile<T, depth, width, query_warps, key_warps, tile_keys> Tile;
  SHARED Piece16 shared[Tile::kBytes / 16];
  T* const k_tile = reinterpret_cast<T*>(shared);
  T* const v_tile = k_tile + Tile::kValues;

  const GeneratedHead& head = args.head;
  const GeneratedTensor &q = args.tensors[0], &k = args.tensors[1], &v = args.tensors[2], &mask = args.tensors[3],
                        &y = args.tensors[4];
  const bool vector = head.vector;
  const int warp = threadIdx.x >> 5, lane = threadIdx.x & 31;
  const Int queries = static_cast<Int>(head.sizes[rank - 2]), heads = static_cast<Int>(head.sizes[rank - 3]);
  const Int keys = static_cast<Int>(head.numbers[0]), share = static_cast<Int>(head.numbers[1]);
  const Int blocks_a_head = (queries + Tile::kQueries - 1) / Tile::kQueries;
  const Int head_index = blockIdx.x / blocks_a_head, batch = head_index / heads, head_of = head_index - batch * heads;
  const Int q0 = (blockIdx.x - head_index * blocks_a_head) * Tile::kQueries;
  AttentionSeat<Int> seat = {queries, keys, 0, warp / key_warps, warp % key_warps, lane >> 2, lane & 3};
  seat.first_row = q0 + seat.query_warp * 16;
  Int at[5] = {0, 0, 0, 0, 0};
  add_offsets<5, Int>(head, args.tensors, 0, rank - 3, batch, at);
#pragma unroll
  for (int i = 0; i < 5; ++i)
    at[i] += (i == 1 || i == 2 ? head_of / share : head_of) * static_cast<Int>(args.tensors[i].strides[rank - 3]);
  const auto stride = [&](const GeneratedTensor& tensor) { return static_cast<Int>(tensor.strides[rank - 2]); };
  const auto step = [&](const GeneratedTensor& tensor) { return static_cast<Int>(tensor.strides[rank - 1]); };

  const auto start_keys = [&](Int begin) {
    start_tile<T, tile_keys, depth, Tile::kD, Tile::kDepthPitch, Tile::kThreads>(
        k_tile, input<T>(k) + at[1] + begin * stride(k), stride(k), step(k), static_cast<int>(keys - begin), vector);
  };
  const auto start_values = [&](Int begin) {
    start_tile<T, tile_keys, width, Tile::kE, Tile::kWidthPitch, Tile::kThreads>(
        v_tile, input<T>(v) + at[2] + begin * stride(v), stride(v), step(v), static_cast<int>(keys - begin), vector);
  };
  const Int last = causal && q0 + Tile::kQueries < keys ? q0 + Tile::kQueries : keys;  // no query sees more
  wait_for_previous();
  if (last > 0) {
    start_keys(0);
    start_values(0);
  }
  unsigned query_parts[Tile::kD / 16][4];
  read_queries<T, Tile>(query_parts, input<T>(q) + at[0], stride(q), step(q), seat, vector);
  typename MaskOf<M, Tile, varied, Int>::type added(input<M>(mask) + at[3], mask, rank, seat);

  const int my_keys = seat.key_warp * Tile::kKeys;
  const SharedPlace k_place =
      shared_place(k_tile + (my_keys + (lane & 7) + (lane >> 4) * 8) * Tile::kDepthPitch + ((lane >> 3) & 1) * 8);
  const SharedPlace v_place = shared_place(v_tile + (my_keys + (lane & 15)) * Tile::kWidthPitch + (lane >> 4) * 8);
  const float by = static_cast<float>(scale * 1.4426950408889634);
  AttentionSums<Tile> sums;
  for (Int begin = 0; begin < last; begin += tile_keys) {
    const bool goes_on = begin + tile_keys < last;
    added.read(begin);
    wait_for_groups<1>();  // the keys; the values may still be under way
    SYNC();
    float score[Tile::kKeys / 8][4];
    score_keys<T, Tile>(score, query_parts, k_place);
    added.keep(begin);
    SYNC();  // all have read the keys
    if (goes_on) start_keys(begin + tile_keys);

#pragma unroll
    for (int n = 0; n < Tile::kKeys / 8; ++n)
#pragma unroll
      for (int i = 0; i < 4; ++i) score[n][i] = added.of(score[n][i] * by, begin, n, i >> 1, i & 1);
    if (causal && begin + tile_keys > seat.first_row) {
#pragma unroll
      for (int n = 0; n < Tile::kKeys / 8; ++n)
#pragma unroll
        for (int i = 0; i < 4; ++i)
          if (begin + my_keys + n * 8 + 2 * seat.t + (i & 1) > seat.row(i >> 1)) score[n][i] = -infinity();
    }
    sums.take(score);

    if (goes_on)  // the values; the next keys may still be under way
      wait_for_groups<1>();
    else
      wait_for_groups<0>();
    SYNC();
    sums.template add<T>(score, v_place);
    SYNC();  // all have read the values
    if (goes_on) start_values(begin + tile_keys);
  }
  sums.join_lanes();

  T* results = k_tile + seat.query_warp * 16 * Tile::kWidthPitch;
  if (key_warps > 1) {  // the parts of the others, in their order
    float* const parts = reinterpret_cast<float*>(shared) + seat.query_warp * (key_warps - 1) * Tile::kPartFloats;
    if (seat.key_warp > 0) sums.hand_over(parts + (seat.key_warp - 1) * Tile::kPartFloats, seat);
    SYNC();
    if (seat.key_warp > 0) return;
    for (int other = 0; other < key_warps - 1; ++other) sums.join(parts + other * Tile::kPartFloats, seat);
    results = reinterpret_cast<T*>(parts);
  }
  write_results(sums, output<T>(y) + at[4], stride(y), step(y), results, seat, vector);
}
