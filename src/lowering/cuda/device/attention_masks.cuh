// The masks of attention: what each adds to the scores of 16 queries by a warp's keys. read() asks for what a tile
// needs while its keys are under way, keep() has it ready before any thread goes on to of(), which ends a score.

// One row for all queries, as most are, or none.
template <class M, class Tile, class Int> struct RowMask {
  static constexpr int kReads = (Tile::kTileKeys + Tile::kThreads - 1) / Tile::kThreads;
  const M* from;  // nullptr: none
  Int step, keys;
  float* row;  // of a tile, in shared memory
  const float* mine;
  M ahead[kReads];

  DEVICE RowMask(const M* at, const GeneratedTensor& mask, int rank, const AttentionSeat<Int>& seat)
      : from(mask.data ? at : nullptr), step(static_cast<Int>(mask.strides[rank - 1])), keys(seat.keys) {
    SHARED float shared[Tile::kTileKeys];
    row = shared;
    mine = row + seat.key_warp * Tile::kKeys + 2 * seat.t;
  }
  DEVICE void read(Int begin) {
    if (!from) return;
#pragma unroll
    for (int i = 0; i < kReads; ++i) {
      const Int key = begin + threadIdx.x + i * Tile::kThreads;
      ahead[i] = from[(key < keys ? key : keys - 1) * step];
    }
  }
  DEVICE void keep(Int begin) {
#pragma unroll
    for (int i = 0; i < kReads; ++i) {
      const int in_tile = threadIdx.x + i * Tile::kThreads;
      if (Tile::kTileKeys % Tile::kThreads != 0 && in_tile >= Tile::kTileKeys) continue;
      row[in_tile] = begin + in_tile >= keys ? -infinity() : from ? masked_power(0.0f, ahead[i]) : 0.0f;
    }
  }
  DEVICE float of(float power, Int, int part, int, int j) const { return power + mine[part * 8 + j]; }
};

// Added to the scores, from query to query another. Read from where something is: reads that hang on a condition would
// wait for one another.
template <class M, class Tile, class Int> struct AddedMask {
  const M* row[2];
  Int step, keys, first;
  M added[Tile::kKeys / 8][2][2];

  DEVICE AddedMask(const M* at, const GeneratedTensor& mask, int rank, const AttentionSeat<Int>& seat)
      : step(static_cast<Int>(mask.strides[rank - 1])), keys(seat.keys), first(seat.key_warp * Tile::kKeys + 2 * seat.t) {
#pragma unroll
    for (int i = 0; i < 2; ++i) row[i] = at + seat.real_row(i) * static_cast<Int>(mask.strides[rank - 2]);
  }
  DEVICE void read(Int begin) {
#pragma unroll
    for (int part = 0; part < Tile::kKeys / 8; ++part)
#pragma unroll
      for (int j = 0; j < 2; ++j) {
        const Int key = begin + first + part * 8 + j, column = (key < keys ? key : keys - 1) * step;
#pragma unroll
        for (int i = 0; i < 2; ++i) added[part][j][i] = row[i][column];
      }
  }
  DEVICE void keep(Int) {}
  DEVICE float of(float power, Int begin, int part, int i, int j) const {
    return begin + first + part * 8 + j < keys ? power + masked_power(0.0f, added[part][j][i]) : -infinity();
  }
};

// Flags, from query to query another. A warp reads those of 32 keys at once, which makes a word of each query's; the words
// of a lane's two queries come to it from where they were made.
template <class Tile, class Int> struct FlagMask {
  static constexpr int kWords = Tile::kKeys / 32;
  static_assert(Tile::kKeys % 32 == 0);
  const b8* from;
  Int row_step, step, keys, first_row, rows, first_key;
  u8 ahead[kWords][16];
  unsigned words[2][kWords];

  DEVICE FlagMask(const b8* at, const GeneratedTensor& mask, int rank, const AttentionSeat<Int>& seat)
      : from(at),
        row_step(static_cast<Int>(mask.strides[rank - 2])),
        step(static_cast<Int>(mask.strides[rank - 1])),
        keys(seat.keys),
        first_row(seat.first_row),
        rows(seat.queries),
        first_key(seat.key_warp * Tile::kKeys) {}
  DEVICE void read(Int begin) {
#pragma unroll
    for (int w = 0; w < kWords; ++w) {
      const Int key = begin + first_key + w * 32 + (threadIdx.x & 31);
      const b8* const column = from + (key < keys ? key : keys - 1) * step;
#pragma unroll
      for (int r = 0; r < 16; ++r) {
        const Int row = first_row + r;
        ahead[w][r] = column[(row < rows ? row : rows - 1) * row_step].bits;
      }
    }
  }
  DEVICE void keep(Int begin) {
    const int lane = threadIdx.x & 31, g = lane >> 2;
#pragma unroll
    for (int w = 0; w < kWords; ++w) {
      const bool real = begin + first_key + w * 32 + lane < keys;
      unsigned mine = 0;  // of the query with this lane's number
#pragma unroll
      for (int r = 0; r < 16; ++r) {
        const unsigned word = BALLOT(real && ahead[w][r] != 0);
        mine = (lane & 15) == r ? word : mine;
      }
      words[0][w] = SHUFFLE(mine, g) >> 2 * (lane & 3);
      words[1][w] = SHUFFLE(mine, g + 8) >> 2 * (lane & 3);
    }
  }
  DEVICE float of(float power, Int, int part, int i, int j) const {
    return (words[i][part / 4] >> (part % 4 * 8 + j) & 1) != 0 ? power : power - infinity();
  }
};

template <class M, class Tile, bool varied, class Int> struct MaskOf {
  typedef RowMask<M, Tile, Int> type;
};
template <class M, class Tile, class Int> struct MaskOf<M, Tile, true, Int> {
  typedef AddedMask<M, Tile, Int> type;
};
template <class Tile, class Int> struct MaskOf<b8, Tile, true, Int> {
  typedef FlagMask<Tile, Int> type;
};
