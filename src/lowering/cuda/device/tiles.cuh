// Copies whose source and target have different innermost dimensions, through tiles in shared memory: both
// sides are walked along their own. numbers: the target's fastest dimension, the source's.
constexpr int kTile = 32;
constexpr int kTileRows = 8;

template <class T, class Int>
DEVICE void transposed_copy(const GeneratedArgs<2>& args) {
  SHARED T tile[kTile][kTile + 1];
  const GeneratedHead& head = args.head;
  const int a = static_cast<int>(head.numbers[0]), b = static_cast<int>(head.numbers[1]);
  const Int a_size = static_cast<Int>(head.sizes[a]), b_size = static_cast<Int>(head.sizes[b]);
  const Int a_tiles = (a_size + kTile - 1) / kTile, b_tiles = (b_size + kTile - 1) / kTile;
  const GeneratedTensor &x = args.tensors[0], &y = args.tensors[1];
  const Int tiles = static_cast<Int>(head.rows) * a_tiles * b_tiles;
  for (Int t = blockIdx.x; t < tiles; t += gridDim.x) {
    Int rest = t / a_tiles;
    const Int a0 = (t - rest * a_tiles) * kTile;
    Int outer = rest / b_tiles;
    const Int b0 = (rest - outer * b_tiles) * kTile;
    Int from = 0, to = 0;
    for (int d = head.rank - 1; d >= 0; --d) {
      if (d == a || d == b) continue;
      const Int size = static_cast<Int>(head.sizes[d]);
      const Int next = outer / size, place = outer - next * size;
      from += place * static_cast<Int>(x.strides[d]);
      to += place * static_cast<Int>(y.strides[d]);
      outer = next;
    }
    for (int i = threadIdx.y; i < kTile; i += kTileRows) {
      const Int at_a = a0 + i, at_b = b0 + threadIdx.x;
      if (at_a < a_size && at_b < b_size)
        tile[i][threadIdx.x] = input<T>(x)[from + at_a * static_cast<Int>(x.strides[a]) +
                                           at_b * static_cast<Int>(x.strides[b])];
    }
    SYNC();
    for (int i = threadIdx.y; i < kTile; i += kTileRows) {
      const Int at_a = a0 + threadIdx.x, at_b = b0 + i;
      if (at_a < a_size && at_b < b_size)
        output<T>(y)[to + at_a * static_cast<Int>(y.strides[a]) + at_b * static_cast<Int>(y.strides[b])] =
            tile[threadIdx.x][i];
    }
    SYNC();
  }
}
