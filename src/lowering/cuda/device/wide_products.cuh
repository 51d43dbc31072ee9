// Products with a weight for many rows, of f16 and bf16, from sm_90 on: y = E(a b' + bias + residual), with b stored
// [N, K]. Blocks stay and walk the tiles, tile_m rows by tile_n columns. One thread asks for the boxes of a and b,
// `stages` parts of 64 of the depth ahead; two groups of four warps multiply. Each has tiles of its own, in turn: while
// one ends its tile (E, rounding, writing), the other's products keep the tensor cores busy. Or they work `together`, each
// on half of a tile's rows, which is soonest where a block has but one tile.
//
// Tensors: a [M, K], b [N, K], bias [N], residual and y [M, N]; last dimensions are dense, rows lie on 16 bytes, N is a
// multiple of 32. numbers: K. maps: a in boxes of tile_m rows; b in boxes of tile_n, each 32 of its rows in such an order
// that the eight columns of y that a thread has of a row are neighbours: box row 8 j + 2 t + i is row 8 t + 2 j + i.
#if defined(HEADRACE_ON_HOST) || __CUDA_ARCH__ >= 900
template <int rows, int tile_n, int stages> struct BoxRing {
  static constexpr int kStages = stages, kDepth = 64, kA = rows * kDepth * 2, kB = tile_n * kDepth * 2, kBytes = kA + kB;
  SharedPlace first;
  Barrier *full, *empty;  // [stages]
  int slot = 0;
  unsigned turn = 0;  // parity of how often the ring has been walked

  DEVICE SharedPlace a() const { return first + slot * kBytes; }
  DEVICE SharedPlace b() const { return a() + kA; }
  DEVICE void next() {
    if (++slot == stages) slot = 0, turn ^= 1;
  }
  DEVICE void skip(int parts) {
    for (slot += parts; slot >= stages; slot -= stages) turn ^= 1;
  }
};

// Which tile comes n-th in this block, and where it begins. Those of one part of the weight are next to each other.
template <int tile_m, int tile_n> struct TileWalk {
  int tiles_m, tiles;
  DEVICE TileWalk(int rows, int columns)
      : tiles_m((rows + tile_m - 1) / tile_m), tiles(tiles_m * ((columns + tile_n - 1) / tile_n)) {}
  DEVICE int row(int tile) const { return tile % tiles_m * tile_m; }
  DEVICE int column(int tile) const { return tile / tiles_m * tile_n; }
};

// The thread that asks for boxes. The weight's first ones do not wait for the kernels before this one.
template <class Ring, class Walk>
DEVICE void fetch_boxes(Ring ring, const Walk& walk, const TensorMap& a, const TensorMap& b, int parts) {
  const int first = blockIdx.x, early = parts < Ring::kStages ? parts : Ring::kStages;
  const auto ask = [&](int tile, int part) {
    arrive_expecting(ring.full + ring.slot, Ring::kBytes);
    start_weight_box(ring.b(), b, ring.full + ring.slot, part * Ring::kDepth, walk.column(tile) / 32);
  };
  if (first < walk.tiles) {
    Ring ahead = ring;
    for (int part = 0; part < early; ++part, ring.next()) ask(first, part);
    ring = ahead;
  }
  wait_for_previous();
  for (int tile = first; tile < walk.tiles; tile += gridDim.x)
    for (int part = 0; part < parts; ++part, ring.next()) {
      if (tile != first || part >= early) {
        wait_barrier(ring.empty + ring.slot, ring.turn ^ 1);  // the first time round, nothing is waited for
        ask(tile, part);
      }
      start_box(ring.a(), a, ring.full + ring.slot, part * Ring::kDepth, walk.row(tile));
    }
}

// E and rounding for eight neighbours of a row.
template <class T, class E> DEVICE void end_run(float (&x)[8], const float (&bias)[8], const T* residual, T* to) {
#pragma unroll
  for (int i = 0; i < 8; ++i) x[i] += bias[i];
  if (residual) {
    const Run<T, 8> added = read_run<T, 8>(residual);
#pragma unroll
    for (int i = 0; i < 8; ++i) x[i] += widen(added.values[i]);
  }
#pragma unroll
  for (int i = 0; i < 8; ++i) x[i] = E::of(x[i]);
  write_packed(to, x);
}

template <class T, class E, class Int, int parts_m, int tile_n>
DEVICE void end_tile(const float (&sum)[parts_m][tile_n / 2], const GeneratedArgs<5>& args, int row0, int column0) {
  const GeneratedTensor &bias = args.tensors[2], &residual = args.tensors[3], &y = args.tensors[4];
  const int rows = static_cast<int>(args.head.sizes[0]), columns = static_cast<int>(args.head.sizes[1]);
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5 & 3;
#pragma unroll
  for (int j = 0; j < tile_n / 32; ++j) {
    const int column = column0 + j * 32 + (lane & 3) * 8;
    if (column >= columns) continue;
    float added[8] = {0, 0, 0, 0, 0, 0, 0, 0};
    if (bias.data) {
      const Run<T, 8> run = read_run<T, 8>(input<T>(bias) + column);
#pragma unroll
      for (int i = 0; i < 8; ++i) added[i] = widen(run.values[i]);
    }
#pragma unroll
    for (int m = 0; m < parts_m; ++m)
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        const int row = row0 + m * 64 + warp * 16 + (lane >> 2) + h * 8;
        if (row >= rows) continue;
        float x[8];
#pragma unroll
        for (int i = 0; i < 8; ++i) x[i] = sum[m][j * 16 + i / 2 * 4 + h * 2 + (i & 1)];
        const T* const from =
            residual.data ? input<T>(residual) + static_cast<Int>(row) * static_cast<Int>(residual.strides[0]) + column : nullptr;
        end_run<T, E>(x, added, from, output<T>(y) + static_cast<Int>(row) * static_cast<Int>(y.strides[0]) + column);
      }
  }
}

template <class T, int tile_m, int tile_n, int stages, bool together, class E, class Int>
DEVICE void multiply_wide(const MappedArgs<5>& args) {
  typedef BoxRing<tile_m, tile_n, stages> Ring;
  constexpr int kGroup = 128, kGroups = together ? 2 : 1, kRows = tile_m / kGroups, kPartsM = kRows / 64;
  static_assert(kRows % 64 == 0 && tile_n % 32 == 0);
  DYNAMIC_SHARED(Piece16, dynamic_shared);
  SHARED Barrier full[stages], empty[stages], turns[2];
  const int thread = threadIdx.x & (kGroup - 1), group = threadIdx.x / kGroup;  // the first one copies
  if (threadIdx.x == 0) {
    for (int i = 0; i < stages; ++i) init_barrier(full + i, 1), init_barrier(empty + i, kGroups);
    for (int i = 0; i < 2; ++i) init_barrier(turns + i, kGroup);
    publish_barriers();
  }
  SYNC();
  const TileWalk<tile_m, tile_n> walk(static_cast<int>(args.plain.head.sizes[0]), static_cast<int>(args.plain.head.sizes[1]));
  const int parts = (static_cast<int>(args.plain.head.numbers[0]) + Ring::kDepth - 1) / Ring::kDepth;
  Ring ring = {align_place(shared_place(dynamic_shared), 1024), full, empty};
  if (group == 0) {
    give_registers<40>();
    if (thread == 0) fetch_boxes(ring, walk, args.maps[0], args.maps[1], parts);
    return;
  }
  take_registers<232>();
  wait_for_previous();
  const int mine = group - 1, my_row = together ? mine * kRows : 0;  // of a tile
  unsigned turn = 0;
  for (int tile = blockIdx.x, n = 0; tile < walk.tiles; tile += gridDim.x, ++n) {
    if (!together && (n & 1) != mine) {
      ring.skip(parts);
      continue;
    }
    if (!together && n > 0) wait_barrier(turns + mine, turn), turn ^= 1;  // the other group's products are all asked for
    float sum[kPartsM][tile_n / 2];
    int last = ring.slot;
    for (int part = 0; part < parts; ++part, ring.next()) {
      wait_barrier(ring.full + ring.slot, ring.turn);
      const Box<128> a = box_at(ring.a() + my_row * 128), b = box_at(ring.b());
      begin_products();
#pragma unroll
      for (int k = 0; k < Ring::kDepth / 16; ++k)
#pragma unroll
        for (int m = 0; m < kPartsM; ++m)
          multiply_boxes<T, tile_n>(sum[m], a + (m * 64 * 128 + k * 32), b + k * 32, part > 0 || k > 0);
      end_products();
      if (part > 0) {
        wait_for_products<1>();
        if (thread == 0) arrive(ring.empty + last);
      }
      last = ring.slot;
    }
    if (!together) arrive(turns + 1 - mine);
    wait_for_products<0>();
    if (thread == 0) arrive(ring.empty + last);
    end_tile<T, E, Int, kPartsM, tile_n>(sum, args.plain, walk.row(tile) + my_row, walk.column(tile));
  }
}
#endif
