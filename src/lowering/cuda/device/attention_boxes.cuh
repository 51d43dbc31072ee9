// Attention on Hopper's tensor cores, from sm_90 on, of f16 and bf16, for many queries at once: attend_tiles()
// (attention.cuh), but a group of four warps multiplies 64 queries by boxes of 64 keys where they lie (boxes.cuh), so that
// what is left to issue is little more than the softmax.
//
// A block takes 64 queries for each of its `groups`. Queries, keys and values come in boxes of 64 depths, or columns; keys
// and values in rings of two tiles, each asked for as soon as all have done with what lay there. Tensors and numbers are
// those of attend_tiles(); keys and values are of one width, a multiple of 64.
#if defined(HEADRACE_ON_HOST) || __CUDA_ARCH__ >= 900
// Copies rows of `width` elements into boxes of `rows` rows; those past `count` are 0. With `vector` the copies belong to
// the group that ends next.
template <class T, int rows, int width, int threads, class Int>
DEVICE void start_boxes(char* boxes, const T* from, Int stride, Int step, int count, bool vector) {
  constexpr int kRuns = width / 8, kRowsAtOnce = threads / kRuns, kBox = rows * 128;
  static_assert(width % 64 == 0 && threads % (8 * kRuns) == 0 && rows % kRowsAtOnce == 0);
  const int row = threadIdx.x / kRuns, run = threadIdx.x % kRuns;
  // The rows of a thread are multiples of eight apart, so that its runs lie in one column of a box.
  const int at = run / 8 * kBox + in_box<128>(row * 128 + run % 8 * 16);
  const T* place = from + static_cast<Int>(row) * stride + static_cast<Int>(run * 8) * step;
  const long long by = static_cast<long long>(stride) * kRowsAtOnce;
  const SharedPlace to = shared_place(boxes + at);
#pragma unroll
  for (int i = 0; i < rows / kRowsAtOnce; ++i, place += by) {
    const bool real = row + i * kRowsAtOnce < count;
    if (vector) {
      start_copy(to + i * kRowsAtOnce * 128, place, real);
    } else {
      T* const run_of_row = reinterpret_cast<T*>(boxes + at + i * kRowsAtOnce * 128);
      for (int c = 0; c < 8; ++c) run_of_row[c] = real ? place[static_cast<Int>(c) * step] : T{0};
    }
  }
}

template <class T, class M, int rank, int depth, bool causal, int groups, bool varied, class Int>
DEVICE void attend_boxes(const GeneratedArgs<5>& args, double scale) {
  constexpr int kTileKeys = 64, kBoxes = depth / 64, kTileBytes = kTileKeys * depth * 2;
  typedef AttentionTile<T, depth, depth, 4 * groups, 1, kTileKeys> Tile;
  DYNAMIC_SHARED(Piece16, dynamic_shared);
  char* const q_boxes = first_box(dynamic_shared);
  char* const k_boxes = q_boxes + Tile::kQueries * depth * 2;
  char* const v_boxes = k_boxes + 2 * kTileBytes;

  const GeneratedTensor &q = args.tensors[0], &k = args.tensors[1], &v = args.tensors[2], &mask = args.tensors[3],
                        &y = args.tensors[4];
  const bool vector = args.head.vector;
  const int warp = threadIdx.x >> 5, lane = threadIdx.x & 31;
  const AttentionBlock<rank, Tile::kQueries, causal, Int> block(args);
  const Int keys = block.keys, last = block.last;
  const AttentionSeat<Int> seat = {block.queries, keys, block.first + warp * 16, warp, 0, lane >> 2, lane & 3};
  const auto stride = [&](const GeneratedTensor& tensor) { return static_cast<Int>(tensor.strides[rank - 2]); };
  const auto step = [&](const GeneratedTensor& tensor) { return static_cast<Int>(tensor.strides[rank - 1]); };

  // Of keys or values; a group of copies each, empty where there is no such tile.
  const auto start_tile_of = [&](char* boxes, const GeneratedTensor& tensor, Int from, Int begin) {
    if (begin < last)
      start_boxes<T, kTileKeys, depth, Tile::kThreads>(boxes + (begin / kTileKeys & 1) * kTileBytes,
                                                       input<T>(tensor) + from + begin * stride(tensor), stride(tensor),
                                                       step(tensor), static_cast<int>(keys - begin), vector);
    end_group();
  };
  wait_for_previous();
  start_boxes<T, Tile::kQueries, depth, Tile::kThreads>(q_boxes, input<T>(q) + block.at[0] + block.first * stride(q), stride(q), step(q),
                                                        static_cast<int>(block.queries - block.first), vector);
  start_tile_of(k_boxes, k, block.at[1], 0);
  start_tile_of(v_boxes, v, block.at[2], 0);
  start_tile_of(k_boxes, k, block.at[1], kTileKeys);

  typename MaskOf<M, Tile, varied, Int>::type added(input<M>(mask) + block.at[3], mask, rank, seat);
  const Box<128> q_box = box_at(shared_place(q_boxes + warp / 4 * 64 * 128));
  const float by = static_cast<float>(scale * 1.4426950408889634);
  AttentionSums<Tile> sums;
  for (Int begin = 0; begin < last; begin += kTileKeys) {
    const int slot = begin / kTileKeys & 1;
    added.read(begin);
    wait_for_groups<2>();  // the keys are there
    added.keep(begin);
    publish_boxes();
    SYNC();  // and all have done with the values before
    start_tile_of(v_boxes, v, block.at[2], begin + kTileKeys);
    float score[kTileKeys / 8][4];
    const Box<128> k_box = box_at(shared_place(k_boxes + slot * kTileBytes));
    begin_products();
#pragma unroll
    for (int c = 0; c < depth / 16; ++c)
      multiply_boxes<T, kTileKeys>(reinterpret_cast<float(&)[kTileKeys / 2]>(score),
                                   q_box + (c / 4 * Tile::kQueries * 128 + c % 4 * 32),
                                   k_box + (c / 4 * kTileKeys * 128 + c % 4 * 32), c > 0);
    end_products();
    wait_for_products<0>();

    mask_scores<Tile, causal>(score, added, by, begin, seat);
    sums.take(score);
    unsigned parts[kTileKeys / 16][4];  // the probabilities, as first operands
#pragma unroll
    for (int n = 0; n < kTileKeys / 8; ++n)
#pragma unroll
      for (int h = 0; h < 2; ++h) parts[n / 2][n % 2 * 2 + h] = pack_pair(T{0}, score[n][2 * h], score[n][2 * h + 1]);

    wait_for_groups<2>();  // the values are there
    publish_boxes();
    SYNC();  // and all have done with the keys
    start_tile_of(k_boxes, k, block.at[1], begin + 2 * kTileKeys);
    const Box<128> v_box = box_at(shared_place(v_boxes + slot * kTileBytes));
    begin_products();
#pragma unroll
    for (int n = 0; n < kTileKeys / 16; ++n)
#pragma unroll
      for (int b = 0; b < kBoxes; ++b)
        add_turned<T>(reinterpret_cast<float(&)[32]>(sums.sum[b * 8]), parts[n], v_box + (b * kTileKeys + n * 16) * 128);
    end_products();
    wait_for_products<0>();
  }
  wait_for_groups<0>();
  sums.join_lanes();
  // Through where queries and keys were: all have done with them.
  static_assert(Tile::kQueries * Tile::kWidthPitch * 2 <= Tile::kQueries * depth * 2 + 2 * kTileBytes);
  write_results(sums, output<T>(y) + block.at[4], stride(y), step(y),
                reinterpret_cast<T*>(q_boxes) + warp * 16 * Tile::kWidthPitch, seat, vector);
}
#endif
