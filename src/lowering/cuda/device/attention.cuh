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

  const GeneratedTensor &q = args.tensors[0], &k = args.tensors[1], &v = args.tensors[2], &mask = args.tensors[3],
                        &y = args.tensors[4];
  const bool vector = args.head.vector;
  const int warp = threadIdx.x >> 5, lane = threadIdx.x & 31;
  const AttentionBlock<rank, Tile::kQueries, causal, Int> block(args);
  const Int keys = block.keys, last = block.last;
  AttentionSeat<Int> seat = {block.queries, keys, 0, warp / key_warps, warp % key_warps, lane >> 2, lane & 3};
  seat.first_row = block.first + seat.query_warp * 16;
  const auto stride = [&](const GeneratedTensor& tensor) { return static_cast<Int>(tensor.strides[rank - 2]); };
  const auto step = [&](const GeneratedTensor& tensor) { return static_cast<Int>(tensor.strides[rank - 1]); };

  const auto start_keys = [&](Int begin) {
    start_tile<T, tile_keys, depth, Tile::kD, Tile::kDepthPitch, Tile::kThreads>(
        k_tile, input<T>(k) + block.at[1] + begin * stride(k), stride(k), step(k), static_cast<int>(keys - begin), vector);
  };
  const auto start_values = [&](Int begin) {
    start_tile<T, tile_keys, width, Tile::kE, Tile::kWidthPitch, Tile::kThreads>(
        v_tile, input<T>(v) + block.at[2] + begin * stride(v), stride(v), step(v), static_cast<int>(keys - begin), vector);
  };
  wait_for_previous();
  if (last > 0) {
    start_keys(0);
    start_values(0);
  }
  unsigned query_parts[Tile::kD / 16][4];
  read_queries<T, Tile>(query_parts, input<T>(q) + block.at[0], stride(q), step(q), seat, vector);
  typename MaskOf<M, Tile, varied, Int>::type added(input<M>(mask) + block.at[3], mask, rank, seat);

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

    mask_scores<Tile, causal>(score, added, by, begin, seat);
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
  write_results(sums, output<T>(y) + block.at[4], stride(y), step(y), results, seat, vector);
}
