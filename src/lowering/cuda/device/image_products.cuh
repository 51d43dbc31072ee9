// Convolutions of images of few channels as products, from sm_90 on, of f16, bf16 and, rounded to TF32, f32. An image is
// folded as fold_image() does it (fold.cuh), but into shared memory: a row of folded cells is a row of the product's first
// operand wherever it begins, so that a tap is the same cells from one further on, and no cell is stored more than once.
//
// Blocks stay, each with a run of rows of results. Four warps fold the rows that these take, in a ring of `slots`; two groups
// of four multiply a row in turn: while one ends its row (bias, E, rounding, writing), the other's products keep the tensor
// cores busy. The weight stays in shared memory. A strip is `cells` results of a row, as many as a group multiplies at once.
//
// Tensors: x as [N, H, W, C] however it lies, weight [outputs, down, across, padded] dense, bias [outputs], y
// [N, OH, OW, outputs]. numbers: H and W. `vector` says that the weight can be read, and y written, 16 bytes at a time.
#if defined(HEADRACE_ON_HOST) || __CUDA_ARCH__ >= 900
template <class T, class F, int channels, int down, int across, int cells, int outputs, int slots> struct ImageTile {
  static constexpr int kDown = down, kCells = cells, kOutputs = outputs;
  static constexpr int kWide = 16 / sizeof(T);
  static constexpr int kFolded = F::stride(0) * F::stride(1) * channels, kFoldedBytes = kFolded * sizeof(T);
  static constexpr int kPitch = kFoldedBytes <= 32 ? 32 : kFoldedBytes <= 64 ? 64 : 128;  // of cells
  static constexpr int kRow = cells + across - 1;                                       // cells that a strip takes
  static constexpr int kSlot = (kRow * kPitch + 1023) / 1024 * 1024;
  static constexpr int kDepth = down * across * kPitch, kParts = (kDepth + 127) / 128;  // of the weight, 128 bytes each
  static constexpr int kPartsM = (cells + 63) / 64;
  // Of 32 results: where the four that thread t of a cell has first, and then, begin: side by side if that is one run.
  DEVICE static constexpr int column(int t, int half) { return kWide == 8 ? t * 8 + half * 4 : half * 16 + t * 4; }
  static_assert(kFoldedBytes <= 128 && cells <= 128 && slots >= 3 * down && outputs % 32 == 0);
};

// Which results a block makes, row after row, and how many folded rows were asked for before each.
template <class Tile> struct ImageWalk {
  int strips, rows;  // strips of a row; rows of an image
  long long at, end;
  int image, strip, row;
  int base = 0;  // folded rows before those of this row

  DEVICE explicit ImageWalk(const GeneratedHead& head)
      : strips(static_cast<int>((head.sizes[2] + Tile::kCells - 1) / Tile::kCells)), rows(static_cast<int>(head.sizes[1])) {
    const long long all = head.sizes[0] * strips * rows;
    at = all * blockIdx.x / gridDim.x;
    end = all * (blockIdx.x + 1) / gridDim.x;
    const long long rest = rows > 0 ? at / rows : 0;
    row = static_cast<int>(at - rest * rows);
    image = static_cast<int>(strips > 0 ? rest / strips : 0);
    strip = static_cast<int>(rest - static_cast<long long>(image) * strips);
  }
  DEVICE bool goes_on() const { return at < end; }
  DEVICE void next() {
    ++at;
    ++base;
    if (++row < rows) return;
    row = 0;
    base += Tile::kDown - 1;
    if (++strip == strips) strip = 0, ++image;
  }
};

// A cell of a row, folded: all of it is asked for before any is waited for.
template <class T, class F, int channels, class Tile, class Int> struct FoldedCell {
  static constexpr int kRuns = (Tile::kFolded + Tile::kWide - 1) / Tile::kWide;
  Run<T, Tile::kWide> runs[kRuns];

  // Its first row and column of the image.
  DEVICE void read(const GeneratedArgs<4>& args, const T* image, int y, int x) {
    const GeneratedTensor& from = args.tensors[0];
    const int height = static_cast<int>(args.head.numbers[0]), width = static_cast<int>(args.head.numbers[1]);
#pragma unroll
    for (int q = 0; q < kRuns * Tile::kWide; ++q) {
      const int c = q % channels, dx = q / channels % F::stride(1), dy = q / channels / F::stride(1);
      const bool real = q < Tile::kFolded && static_cast<unsigned>(y + dy) < static_cast<unsigned>(height) &&
                        static_cast<unsigned>(x + dx) < static_cast<unsigned>(width);
      T value = narrow<T>(0.0f);
      if (real)
        value = image[static_cast<Int>(y + dy) * static_cast<Int>(from.strides[1]) +
                      static_cast<Int>(x + dx) * static_cast<Int>(from.strides[2]) + c * static_cast<Int>(from.strides[3])];
      runs[q / Tile::kWide].values[q % Tile::kWide] = rounded_operand(value);
    }
  }
  DEVICE void write(char* slot, int cell) const {
#pragma unroll
    for (int r = 0; r < kRuns; ++r)
      *reinterpret_cast<Piece16*>(slot + in_box<Tile::kPitch>(cell * Tile::kPitch + r * 16)) = runs[r].words[0];
  }
};

// Folds row `row` of the walk's image and strip into a slot; `thread` of `team`.
template <class T, class F, int channels, class Tile, int team, class Int>
DEVICE void fold_row(const GeneratedArgs<4>& args, const ImageWalk<Tile>& walk, int row, char* slot, int thread) {
  constexpr int kEach = (Tile::kRow + team - 1) / team;
  const T* const image =
      input<T>(args.tensors[0]) + static_cast<Int>(walk.image) * static_cast<Int>(args.tensors[0].strides[0]);
  const int y = row * F::stride(0) - F::low(0), x = walk.strip * Tile::kCells * F::stride(1) - F::low(1);
  FoldedCell<T, F, channels, Tile, Int> folded[kEach];
#pragma unroll
  for (int i = 0; i < kEach; ++i) folded[i].read(args, image, y, x + (thread + i * team) * F::stride(1));
#pragma unroll
  for (int i = 0; i < kEach; ++i)
    if (thread + i * team < Tile::kRow) folded[i].write(slot, thread + i * team);
}

// Rows of the weight, of 128 bytes of its depth a part, each 32 of them in such an order that a thread's eight results of a
// cell are whole runs of 16 bytes: 4 h … 4 h + 3 of them begin at column(t, h).
template <class T, class Tile, int threads>
DEVICE void stage_weight(char* parts, const GeneratedTensor& weight, int thread, bool vector) {
  constexpr int kRuns = Tile::kDepth / 16;
  for (int t = thread; t < Tile::kOutputs * kRuns; t += threads) {
    const int to = t / kRuns, run = t - to * kRuns, j = to >> 3 & 3;
    const int from = (to & ~31) + Tile::column(to >> 1 & 3, j >> 1) + (j & 1) * 2 + (to & 1);
    const T* const place = input<T>(weight) + from * (Tile::kDepth / static_cast<int>(sizeof(T))) + run * Tile::kWide;
    char* const there = parts + run / 8 * Tile::kOutputs * 128 + in_box<128>(to * 128 + run % 8 * 16);
    Run<T, Tile::kWide> values;
    if (vector) {
      values = read_run<T, Tile::kWide>(place);
    } else {
      for (int i = 0; i < Tile::kWide; ++i) values.values[i] = place[i];
    }
#pragma unroll
    for (int i = 0; i < Tile::kWide; ++i) values.values[i] = rounded_operand(values.values[i]);
    *reinterpret_cast<Piece16*>(there) = values.words[0];
  }
}

// Twice four neighbours, 16 bytes at a time.
template <class T> DEVICE void write_eight(T* to, const int (&columns)[2], const float (&x)[8]) {
  write_packed(to + columns[0], x);
}
DEVICE void write_eight(f32* to, const int (&columns)[2], const float (&x)[8]) {
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    Run<f32, 4> run;
#pragma unroll
    for (int i = 0; i < 4; ++i) run.values[i] = x[h * 4 + i];
    write_run<f32, 4>(to + columns[h], run);
  }
}

template <class T, class Tile, class E, class Int, bool vector>
DEVICE void end_strip(const float (&sum)[Tile::kPartsM][Tile::kOutputs / 2], const GeneratedArgs<4>& args,
                      const ImageWalk<Tile>& walk, const float* bias) {
  const GeneratedTensor& y = args.tensors[3];
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5 & 3, first = walk.strip * Tile::kCells;
  const int left = static_cast<int>(args.head.sizes[2]) - first, count = left < Tile::kCells ? left : Tile::kCells;
  T* const row = output<T>(y) + (static_cast<Int>(walk.image) * static_cast<Int>(y.strides[0]) +
                                 static_cast<Int>(walk.row) * static_cast<Int>(y.strides[1]) +
                                 static_cast<Int>(first) * static_cast<Int>(y.strides[2]));
#pragma unroll
  for (int m = 0; m < Tile::kPartsM; ++m)
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      const int cell = m * 64 + warp * 16 + (lane >> 2) + h * 8;
      if (cell >= count) continue;
      T* const to = row + static_cast<Int>(cell) * static_cast<Int>(y.strides[2]);
#pragma unroll
      for (int j = 0; j < Tile::kOutputs / 32; ++j) {
        const int columns[2] = {j * 32 + Tile::column(lane & 3, 0), j * 32 + Tile::column(lane & 3, 1)};
        float x[8];
#pragma unroll
        for (int i = 0; i < 8; ++i)
          x[i] = E::of(sum[m][j * 16 + i / 2 * 4 + h * 2 + (i & 1)] + bias[columns[i >> 2] + (i & 3)]);
        if (vector) {
          write_eight(to, columns, x);
        } else {
#pragma unroll
          for (int i = 0; i < 8; ++i)
            to[static_cast<Int>(columns[i >> 2] + (i & 3)) * static_cast<Int>(y.strides[3])] = narrow<T>(x[i]);
        }
      }
    }
}

template <class T, class F, int channels, int down, int across, int cells, int outputs, int slots, class E, class Int>
DEVICE void convolve_image(const GeneratedArgs<4>& args) {
  typedef ImageTile<T, F, channels, down, across, cells, outputs, slots> Tile;
  constexpr int kGroup = 128, kTeams = down > 1 ? 2 : 1;  // teams fold a row each, so that more is under way
  DYNAMIC_SHARED(Piece16, dynamic_shared);
  SHARED Barrier full[slots], empty[slots], turns[2];
  SHARED float bias[outputs];
  char* const weight = first_box(dynamic_shared);
  char* const ring = weight + Tile::kParts * outputs * 128;
  const int thread = threadIdx.x & (kGroup - 1), group = threadIdx.x / kGroup;  // the first one folds
  if (threadIdx.x == 0) {
    for (int i = 0; i < slots; ++i) init_barrier(full + i, kGroup / kTeams), init_barrier(empty + i, 2);
    for (int i = 0; i < 2; ++i) init_barrier(turns + i, kGroup);
    publish_barriers();
  }
  // What of a cell is no channel stays 0.
  for (int i = threadIdx.x; i < slots * Tile::kSlot / 16; i += 3 * kGroup)
    *reinterpret_cast<Piece16*>(ring + i * 16) = Piece16{{0, 0, 0, 0}};
  stage_weight<T, Tile, 3 * kGroup>(weight, args.tensors[1], threadIdx.x, args.head.vector);
  publish_boxes();
  wait_for_previous();  // the weight does not change; all else may be made by the kernel before
  const GeneratedTensor& added = args.tensors[2];
  for (int i = threadIdx.x; i < outputs; i += 3 * kGroup)
    bias[i] = added.data ? widen(input<T>(added)[static_cast<Int>(i) * static_cast<Int>(added.strides[0])]) : 0.0f;
  SYNC();
  ImageWalk<Tile> walk(args.head);
  if (group == 0) {
    constexpr int kTeam = kGroup / kTeams;
    int folded = 0;
    for (bool first = true; walk.goes_on(); walk.next(), first = false)
      for (int d = first || walk.row == 0 ? 0 : down - 1; d < down; ++d, ++folded) {
        if (folded % kTeams != thread / kTeam) continue;
        const int slot = folded % slots;
        wait_barrier(empty + slot, (folded / slots & 1) ^ 1);  // the first time round, nothing is waited for
        fold_row<T, F, channels, Tile, kTeam, Int>(args, walk, walk.row + d, ring + slot * Tile::kSlot, thread % kTeam);
        publish_boxes();
        arrive(full + slot);
      }
    return;
  }
  const Box<128> weight_box = box_at(shared_place(weight));
  const int mine = group - 1;
  int released = 0;
  unsigned turn = 0;
  for (int n = 0; walk.goes_on(); walk.next(), ++n) {
    if ((n & 1) != mine) continue;
    if (n > 0) wait_barrier(turns + mine, turn), turn ^= 1;  // the other group's products are all asked for
    for (int d = 0; d < down; ++d) wait_barrier(full + (walk.base + d) % slots, (walk.base + d) / slots & 1);
    // Rows that neither this nor a later row of this group takes: they have been folded, since later ones were.
    for (; released < walk.base; ++released)
      if (thread == 0) arrive(empty + released % slots);
    float sum[Tile::kPartsM][outputs / 2];
    begin_products();
#pragma unroll
    for (int d = 0; d < down; ++d) {
      const Box<Tile::kPitch> row = box_at<Tile::kPitch>(shared_place(ring + (walk.base + d) % slots * Tile::kSlot));
#pragma unroll
      for (int a = 0; a < across; ++a)
#pragma unroll
        for (int k = 0; k < Tile::kPitch; k += 32) {
          const int depth = (d * across + a) * Tile::kPitch + k;
#pragma unroll
          for (int m = 0; m < Tile::kPartsM; ++m)
            multiply_boxes<T, outputs>(sum[m], row + ((m * 64 + a) * Tile::kPitch + k),
                                       weight_box + (depth / 128 * outputs * 128 + depth % 128), depth > 0);
        }
    }
    end_products();
    arrive(turns + 1 - mine);
    wait_for_products<0>();
    if (args.head.vector)
      end_strip<T, Tile, E, Int, true>(sum, args, walk, bias);
    else
      end_strip<T, Tile, E, Int, false>(sum, args, walk, bias);
  }
}
#endif
