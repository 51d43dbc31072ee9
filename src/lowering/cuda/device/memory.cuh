// Runs of elements to and from memory, in pieces of up to 16 bytes.
template <int bytes> struct Piece;
template <> struct Piece<1> { typedef u8 type; };
template <> struct Piece<2> { typedef unsigned short type; };
template <> struct Piece<4> { typedef unsigned type; };
template <> struct Piece<8> { typedef unsigned long long type; };
struct alignas(16) Piece16 { unsigned words[4]; };
template <> struct Piece<16> { typedef Piece16 type; };

template <class T, int n> struct Run {
  static constexpr int kBytes = sizeof(T) * n;
  static constexpr int kPiece = kBytes < 16 ? kBytes : 16;
  typedef typename Piece<kPiece>::type Word;
  union {
    T values[n];
    Word words[kBytes / kPiece];
  };
  DEVICE Run() {}
};

// REQUIRES: n = 1, or `from` lies on a multiple of the run's size or of 16 bytes.
template <class T, int n> DEVICE Run<T, n> read_run(const T* from) {
  typedef Run<T, n> R;
  R run;
#pragma unroll
  for (int i = 0; i < R::kBytes / R::kPiece; ++i) run.words[i] = reinterpret_cast<const typename R::Word*>(from)[i];
  return run;
}
template <class T, int n> DEVICE void write_run(T* to, const Run<T, n>& run) {
  typedef Run<T, n> R;
#pragma unroll
  for (int i = 0; i < R::kBytes / R::kPiece; ++i) reinterpret_cast<typename R::Word*>(to)[i] = run.words[i];
}
template <class T> DEVICE const T* input(const GeneratedTensor& tensor) { return reinterpret_cast<const T*>(tensor.data); }
template <class T> DEVICE T* output(const GeneratedTensor& tensor) { return reinterpret_cast<T*>(tensor.data); }

// Where the element of an index lies in `count` tensors, by dimensions [begin, end) of their sizes, the last
// fastest.
template <int count, class Int>
DEVICE void add_offsets(const GeneratedHead& head, const GeneratedTensor* tensors, int begin, int end, Int index,
                        Int (&at)[count]) {
  for (int d = end - 1; d > begin; --d) {
    const Int size = static_cast<Int>(head.sizes[d]);
    const Int next = index / size;
    const Int place = index - next * size;
#pragma unroll
    for (int k = 0; k < count; ++k) at[k] += place * static_cast<Int>(tensors[k].strides[d]);
    index = next;
  }
  if (end > begin) {
#pragma unroll
    for (int k = 0; k < count; ++k) at[k] += index * static_cast<Int>(tensors[k].strides[begin]);
  }
}
