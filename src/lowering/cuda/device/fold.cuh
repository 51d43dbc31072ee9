// Blocks of cells as cells of more channels: of [N, H, W, C], stride(0) × stride(1) cells from low(d) before the
// image on; their channels one after another, and zeros behind them up to `padded`. A block of threads makes `cells`
// neighbours of a row, through shared memory: it reads along the image's fastest dimension and writes along the
// result's. numbers: H and W.
template <class T, class F, int channels, int cells, int threads, class Int> class FoldedRow {
 public:
  static constexpr int kWide = 16 / sizeof(T);
  static constexpr int kLines = F::stride(0) * channels;  // of neighbouring columns, a row and a channel each
  static constexpr int kPieces = (cells * F::stride(1) + 2 * kWide - 2) / kWide;  // of a line, wherever it begins
  static constexpr int kColumns = kPieces * kWide;

  // `piece`: kLines * kPieces of them. Offsets before the image wrap, as Int does.
  DEVICE FoldedRow(const GeneratedArgs<2>& args, Piece16* pieces, Int image, Int row, Int first)
      : args_(args), pieces_(pieces), image_(image), row_(row), first_(first) {
    const Int column = first * F::stride(1) - F::low(1);
    begin_ = column & ~static_cast<Int>(kWide - 1);
    shift_ = static_cast<int>(column - begin_);
  }

  DEVICE void stage() const {
    const GeneratedTensor& x = args_.tensors[0];
    const i64 strides = x.strides[0] | x.strides[1] | x.strides[3] | args_.head.numbers[1];
    if (x.strides[2] == 1 && strides % kWide == 0 && reinterpret_cast<unsigned long long>(x.data) % 16 == 0)
      stage_pieces();
    else
      stage_elements(x.strides[3] == 1);
  }

  // A thread keeps to the same channels of its cells, so that it finds out once where they lie.
  template <int padded, int width> DEVICE void write() const {
    constexpr int kRuns = padded / width, kAcross = kRuns < threads ? kRuns : threads, kDown = threads / kAcross;
    const GeneratedTensor& y = args_.tensors[1];
    const Int left = static_cast<Int>(args_.head.sizes[2]) - first_;
    const unsigned count = left < cells ? left : cells, across = threadIdx.x % kAcross, down = threadIdx.x / kAcross;
    if (down >= kDown) return;
    for (unsigned r = across; r < kRuns; r += kAcross) {
      const T* from[width];
#pragma unroll
      for (int j = 0; j < width; ++j) from[j] = staged_at(r * width + j);
      T* to = output<T>(y) + (image_ * static_cast<Int>(y.strides[0]) + row_ * static_cast<Int>(y.strides[1]) +
                              (first_ + down) * static_cast<Int>(y.strides[2]) +
                              r * width * static_cast<Int>(y.strides[3]));
#pragma unroll 2
      for (unsigned at = down; at < count; at += kDown) {
        Run<T, width> run;
#pragma unroll
        for (int j = 0; j < width; ++j) {
          const T value = from[j][at * F::stride(1)];
          run.values[j] = r * width + j < kFolded ? value : narrow<T>(ComputeOf<T>(0));
        }
        write_run<T, width>(to, run);
        to += kDown * static_cast<Int>(y.strides[2]);
      }
    }
  }

 private:
  static constexpr int kFolded = kLines * F::stride(1);

  // Channel q of the first cell; where it has none, any that it has.
  DEVICE const T* staged_at(unsigned q) const {
    const unsigned real = q < kFolded ? q : 0, cell = real / channels, down = cell / F::stride(1);
    return reinterpret_cast<const T*>(pieces_) + shift_ +
           ((down * channels + real - cell * channels) * kColumns + cell - down * F::stride(1));
  }

  // Whether a row of the block and a column lie inside of the image, and where.
  DEVICE bool holds(unsigned down, Int column) const {
    return row_ * F::stride(0) + down - F::low(0) < static_cast<Int>(args_.head.numbers[0]) &&
           column < static_cast<Int>(args_.head.numbers[1]);
  }
  DEVICE const T* at(unsigned down, Int column, unsigned c) const {
    const GeneratedTensor& x = args_.tensors[0];
    return input<T>(x) + (image_ * static_cast<Int>(x.strides[0]) +
                          (row_ * F::stride(0) + down - F::low(0)) * static_cast<Int>(x.strides[1]) +
                          column * static_cast<Int>(x.strides[2]) + c * static_cast<Int>(x.strides[3]));
  }

  DEVICE void stage_pieces() const {
    constexpr int kCount = kLines * kPieces, kEach = (kCount + threads - 1) / threads;
    Run<T, kWide> runs[kEach];
#pragma unroll
    for (int e = 0; e < kEach; ++e) {
      const unsigned t = threadIdx.x + e * threads, line = t / kPieces, down = line / channels;
      const Int column = begin_ + (t - line * kPieces) * kWide;
#pragma unroll
      for (int i = 0; i < kWide; ++i) runs[e].values[i] = narrow<T>(ComputeOf<T>(0));
      if (t < kCount && holds(down, column)) runs[e] = read_run<T, kWide>(at(down, column, line - down * channels));
    }
#pragma unroll
    for (int e = 0; e < kEach; ++e)
      if (threadIdx.x + e * threads < kCount) pieces_[threadIdx.x + e * threads] = runs[e].words[0];
  }

  DEVICE void stage_elements(bool channels_last) const {
    T* const staged = reinterpret_cast<T*>(pieces_);
    for (unsigned t = threadIdx.x; t < kLines * kColumns; t += threads) {
      const unsigned rest = channels_last ? t / channels : t / kColumns;
      const unsigned c = channels_last ? t - rest * channels : rest % channels;
      const unsigned down = channels_last ? rest / kColumns : rest / channels;
      const unsigned place = channels_last ? rest - down * kColumns : t - rest * kColumns;
      const Int column = begin_ + place;
      staged[(down * channels + c) * kColumns + place] =
          holds(down, column) ? *at(down, column, c) : narrow<T>(ComputeOf<T>(0));
    }
  }

  const GeneratedArgs<2>& args_;
  Piece16* const pieces_;
  const Int image_, row_, first_;  // of cells of the result
  Int begin_;                      // column that is staged first
  int shift_;                      // columns from there to those of the first cell
};

template <class T, class F, int channels, int padded, int cells, int threads, int width, class Int>
DEVICE void fold_image(const GeneratedArgs<2>& args) {
  typedef FoldedRow<T, F, channels, cells, threads, Int> Row;
  SHARED Piece16 pieces[Row::kLines * Row::kPieces];
  const Int rows = static_cast<Int>(args.head.sizes[1]), columns = static_cast<Int>(args.head.sizes[2]);
  const Int parts = (columns + cells - 1) / cells, total = static_cast<Int>(args.head.sizes[0]) * rows * parts;
  for (Int block = blockIdx.x; block < total; block += gridDim.x) {
    const Int rest = block / parts, image = rest / rows;
    const Row row(args, pieces, image, rest - image * rows, (block - rest * parts) * cells);
    row.stage();
    SYNC();
    if (width > 1 && args.head.vector)
      row.template write<padded, width>();
    else
      row.template write<padded, 1>();
    SYNC();  // the next part is staged in the same place
  }
}
