// Products with a weight on tensor cores, of f16 and bf16, for few rows: y = E(a b' + bias + residual), with b
// stored [N, K]. Such products are short: what counts is how soon the weight arrives. So its first parts are asked
// for before the kernel waits for the one ahead of it, and `split` blocks of a cluster share a tile: each takes a
// part of the depth, and they join their sums, in their order, through each other's shared memory.
//
// Tensors: a [M, K], b [N, K], bias [N], residual and y [M, N]; last dimensions are dense, rows lie on 16 bytes.
// numbers: K. A grid of tiles, those of one part of the weight next to each other.
#if !defined(HEADRACE_ON_HOST) && __CUDA_ARCH__ >= 900
DEVICE unsigned cluster_rank() {
  unsigned rank;
  asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  return rank;
}
DEVICE void sync_cluster() {
  asm volatile("barrier.cluster.arrive.release.aligned;\n\tbarrier.cluster.wait.acquire.aligned;" ::: "memory");
}
// Four floats of the shared memory of the cluster's block `rank`, at what is `at` here.
DEVICE void add_from(unsigned rank, const float* at, float (&sum)[4]) {
  unsigned there;
  float x[4];
  asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(there) : "r"(static_cast<unsigned>(__cvta_generic_to_shared(at))), "r"(rank));
  asm volatile("ld.shared::cluster.v4.f32 {%0, %1, %2, %3}, [%4];"
               : "=f"(x[0]), "=f"(x[1]), "=f"(x[2]), "=f"(x[3])
               : "r"(there));
#pragma unroll
  for (int i = 0; i < 4; ++i) sum[i] += x[i];
}
#else
DEVICE unsigned cluster_rank() { return 0; }
DEVICE void sync_cluster() {}
DEVICE void add_from(unsigned, const float* at, float (&sum)[4]) {
#pragma unroll
  for (int i = 0; i < 4; ++i) sum[i] += at[i];
}
#endif

template <class T, int tile_m, int tile_n, int warps_m, int warps_n, int warps_k, int stages, int split,
          class E, class Int>
DEVICE void multiply_weight(const GeneratedArgs<5>& args) {
  constexpr int kThreads = 32 * warps_m * warps_n * warps_k, kDepth = 64, kRuns = kDepth / 8;
  constexpr int kWarpM = tile_m / warps_m, kWarpN = tile_n / warps_n;
  constexpr int kPartsM = kWarpM / 16, kPartsN = kWarpN / 8;
  constexpr int kStage = (tile_m + tile_n) * kDepth, kPitch = tile_n + 4;
  static_assert(kWarpM % 16 == 0 && kWarpN % 16 == 0 && tile_m % split == 0);
  constexpr int kSums = tile_m * kPitch;
  static_assert(warps_k * kSums * 4 <= stages * kStage * 2 && kDepth / 16 % warps_k == 0);
  DYNAMIC_SHARED(Piece16, dynamic_shared);
  T* const tiles = reinterpret_cast<T*>(dynamic_shared);

  const GeneratedTensor &a = args.tensors[0], &b = args.tensors[1], &bias = args.tensors[2],
                        &residual = args.tensors[3], &y = args.tensors[4];
  const Int rows = static_cast<Int>(args.head.sizes[0]), columns = static_cast<Int>(args.head.sizes[1]);
  const Int depth = static_cast<Int>(args.head.numbers[0]);
  const Int tiles_m = (rows + tile_m - 1) / tile_m, tile = blockIdx.x / split;
  const Int column0 = tile / tiles_m * tile_n, row0 = tile % tiles_m * tile_m;
  const Int rank = split > 1 ? cluster_rank() : 0;
  const Int all = (depth + kDepth - 1) / kDepth;
  const Int first = all * rank / split;
  const int parts = static_cast<int>(all * (rank + 1) / split - first);
  const int thread = threadIdx.x;

  // Rows of 64 lie in shared memory as eight runs of 16 bytes, whose order differs from row to row: eight rows of
  // one column meet in different banks. A thread copies the same run of every kRowsAtOnce-th row; all that it needs
  // for it is worked out here, since so few warps hide nothing.
  constexpr int kRowsAtOnce = kThreads / kRuns, kCopiesA = tile_m / kRowsAtOnce, kCopiesB = tile_n / kRowsAtOnce;
  static_assert(kRowsAtOnce % 8 == 0 && tile_m % kRowsAtOnce == 0 && tile_n % kRowsAtOnce == 0);
  const int copy_row = thread / kRuns, copy_run = thread % kRuns;
  const SharedPlace copy_to = shared_place(tiles + copy_row * kDepth + (copy_run ^ (copy_row & 7)) * 8);
  const Int k0 = first * kDepth + copy_run * 8;
  const T* a_from[kCopiesA];
  const T* b_from[kCopiesB];
  int a_left[kCopiesA], b_left[kCopiesB];  // of the depth, from there; none of rows that there are not
#pragma unroll
  for (int i = 0; i < kCopiesA; ++i) {
    const Int row = row0 + copy_row + i * kRowsAtOnce;
    a_left[i] = row < rows ? static_cast<int>(depth) - static_cast<int>(k0) : 0;
    a_from[i] = input<T>(a) + (row < rows ? row * static_cast<Int>(a.strides[0]) : 0) + k0;
  }
#pragma unroll
  for (int i = 0; i < kCopiesB; ++i) {
    const Int column = column0 + copy_row + i * kRowsAtOnce;
    b_left[i] = column < columns ? static_cast<int>(depth) - static_cast<int>(k0) : 0;
    b_from[i] = input<T>(b) + (column < columns ? column * static_cast<Int>(b.strides[0]) : 0) + k0;
  }
  // The `part`-th one from where the pointers are.
  const auto load_a = [&](int part, int slot) {
#pragma unroll
    for (int i = 0; i < kCopiesA; ++i)
      start_copy(copy_to + (slot * kStage + i * kRowsAtOnce * kDepth) * 2, a_from[i] + part * kDepth, a_left[i] > part * kDepth);
  };
  const auto load_b = [&](int part, int slot) {
#pragma unroll
    for (int i = 0; i < kCopiesB; ++i)
      start_copy(copy_to + (slot * kStage + (tile_m + i * kRowsAtOnce) * kDepth) * 2, b_from[i] + part * kDepth,
                 b_left[i] > part * kDepth);
  };
  const auto go_on = [&](int count) {
#pragma unroll
    for (int i = 0; i < kCopiesA; ++i) a_from[i] += count * kDepth, a_left[i] -= count * kDepth;
#pragma unroll
    for (int i = 0; i < kCopiesB; ++i) b_from[i] += count * kDepth, b_left[i] -= count * kDepth;
  };

#pragma unroll
  for (int part = 0; part < stages - 1; ++part)
    if (part < parts) load_b(part, part);
  wait_for_previous();
#pragma unroll
  for (int part = 0; part < stages - 1; ++part) {
    if (part < parts) load_a(part, part);
    end_group();
  }
  go_on(stages - 1);

  // What this thread ends: `kEach` runs of eight columns. What is added to them is on its way meanwhile.
  constexpr int kRows = tile_m / split, kColumnRuns = tile_n / 8, kEach = (kRows * kColumnRuns + kThreads - 1) / kThreads;
  const auto in_tile = [&](int e) { return static_cast<int>(rank) * kRows + (thread + e * kThreads) / kColumnRuns; };
  const int run_at = thread % kColumnRuns * 8;
  static_assert(kThreads % kColumnRuns == 0);
  const Int column = column0 + run_at;
  const auto is_real = [&](int e) {
    return thread + e * kThreads < kRows * kColumnRuns && row0 + in_tile(e) < rows && column < columns;
  };
  Run<T, 8> bias_run, residual_runs[kEach];
  if (bias.data && column < columns) bias_run = read_run<T, 8>(input<T>(bias) + column);
#pragma unroll
  for (int e = 0; e < kEach; ++e)
    if (residual.data && is_real(e))
      residual_runs[e] = read_run<T, 8>(input<T>(residual) + (row0 + in_tile(e)) * static_cast<Int>(residual.strides[0]) + column);

  const int warp = thread >> 5, lane = thread & 31, warp_k = warp / (warps_m * warps_n);
  const int warp_m = warp / warps_n % warps_m * kWarpM, warp_n = warp % warps_n * kWarpN;
  float sum[kPartsM][kPartsN][4];
#pragma unroll
  for (int m = 0; m < kPartsM; ++m)
#pragma unroll
    for (int n = 0; n < kPartsN; ++n)
#pragma unroll
      for (int i = 0; i < 4; ++i) sum[m][n][i] = 0;

  const int a_row = warp_m + (lane & 15), b_row = warp_n + (lane & 7) + (lane >> 4) * 8;
  const SharedPlace a_at = shared_place(tiles + a_row * kDepth), b_at = shared_place(tiles + (tile_m + b_row) * kDepth);
  const int a_run = lane >> 4, b_run = (lane >> 3) & 1, turn = lane & 7;  // of both rows, modulo 8
  int slot = 0, next = stages - 1;
  for (int part = 0; part < parts; ++part) {
    wait_for_groups<stages - 2>();
    SYNC();  // this part is there, and all have read the one whose place is taken next
    if (part + stages - 1 < parts) {
      load_b(0, next);
      load_a(0, next);
      go_on(1);
    }
    end_group();
    const int here = slot * kStage * 2;
#pragma unroll
    for (int i = 0; i < kDepth / 16 / warps_k; ++i) {
      const int step = i * warps_k + warp_k;
      const SharedPlace a_step = a_at + here + ((step * 2 + a_run) ^ turn) * 16;
      const SharedPlace b_step = b_at + here + ((step * 2 + b_run) ^ turn) * 16;
      Matrices a_parts[kPartsM], b_parts[kPartsN / 2];
#pragma unroll
      for (int m = 0; m < kPartsM; ++m) a_parts[m] = load_matrices<false>(a_step + m * 16 * kDepth * 2);
#pragma unroll
      for (int n = 0; n < kPartsN / 2; ++n) b_parts[n] = load_matrices<false>(b_step + n * 16 * kDepth * 2);
#pragma unroll
      for (int m = 0; m < kPartsM; ++m)
#pragma unroll
        for (int n = 0; n < kPartsN; ++n)
          multiply_add<T>(sum[m][n], a_parts[m].parts, b_parts[n / 2].parts[n % 2 * 2], b_parts[n / 2].parts[n % 2 * 2 + 1]);
    }
    slot = slot + 1 == stages ? 0 : slot + 1;
    next = next + 1 == stages ? 0 : next + 1;
  }

  wait_for_groups<0>();
  SYNC();  // the tiles' place becomes the sums'
  float* const sums = reinterpret_cast<float*>(dynamic_shared);
  const int g = lane >> 2, t = lane & 3;
#pragma unroll
  for (int m = 0; m < kPartsM; ++m)
#pragma unroll
    for (int n = 0; n < kPartsN; ++n)
#pragma unroll
      for (int i = 0; i < 4; ++i)
        sums[warp_k * kSums + (warp_m + m * 16 + g + (i >> 1) * 8) * kPitch + warp_n + n * 8 + 2 * t + (i & 1)] =
            sum[m][n][i];
  constexpr int kJoined = split > 1 ? 1 : warps_k;  // parts of a sum that are joined where it is ended
  if (warps_k > kJoined) {
    SYNC();
#pragma unroll
    for (int i = thread; i < tile_m * tile_n / 4; i += kThreads) {
      float* const at = sums + i / (tile_n / 4) * kPitch + i % (tile_n / 4) * 4;
      float x[4] = {0, 0, 0, 0};
#pragma unroll
      for (int k = 0; k < warps_k; ++k)
#pragma unroll
        for (int j = 0; j < 4; ++j) x[j] += at[k * kSums + j];
#pragma unroll
      for (int j = 0; j < 4; ++j) at[j] = x[j];
    }
  }
  if (split > 1)
    sync_cluster();
  else
    SYNC();

#pragma unroll
  for (int e = 0; e < kEach; ++e) {
    if (thread + e * kThreads >= kRows * kColumnRuns) continue;
    const float* const from = sums + in_tile(e) * kPitch + run_at;
    float x[2][4] = {{0, 0, 0, 0}, {0, 0, 0, 0}};
#pragma unroll
    for (int r = 0; r < split; ++r)
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        if (split > 1) {
          add_from(r, from + h * 4, x[h]);
        } else {
#pragma unroll
          for (int k = 0; k < kJoined; ++k)
#pragma unroll
            for (int j = 0; j < 4; ++j) x[h][j] += from[k * kSums + h * 4 + j];
        }
      }
    if (!is_real(e)) continue;
    if (bias.data)
#pragma unroll
      for (int j = 0; j < 8; ++j) x[j >> 2][j & 3] += widen(bias_run.values[j]);
    if (residual.data)
#pragma unroll
      for (int j = 0; j < 8; ++j) x[j >> 2][j & 3] += widen(residual_runs[e].values[j]);
    Run<T, 8> result;
#pragma unroll
    for (int j = 0; j < 8; ++j) result.values[j] = narrow<T>(E::of(x[j >> 2][j & 3]));
    write_run<T, 8>(output<T>(y) + (row0 + in_tile(e)) * static_cast<Int>(y.strides[0]) + column, result);
  }
  if (split > 1) sync_cluster();  // none leaves while its sums are read
}
