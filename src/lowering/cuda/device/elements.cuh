// Kernels that make each element of their results from elements at the same place of their operands. Body::run
// does it for kWidth neighbours of the innermost dimension.
template <class T, int n, class Int>
DEVICE void load(ComputeOf<T> (&to)[n], const GeneratedTensor& tensor, Int at, bool dense) {
  if (n > 1 && dense) {
    const Run<T, n> run = read_run<T, n>(input<T>(tensor) + at);
#pragma unroll
    for (int i = 0; i < n; ++i) to[i] = widen(run.values[i]);
    return;
  }
  const ComputeOf<T> value = widen(input<T>(tensor)[at]);
#pragma unroll
  for (int i = 0; i < n; ++i) to[i] = value;
}
template <class T, int n, class Int>
DEVICE void store(const GeneratedTensor& tensor, Int at, const ComputeOf<T> (&from)[n]) {
  Run<T, n> run;
#pragma unroll
  for (int i = 0; i < n; ++i) run.values[i] = narrow<T>(from[i]);
  write_run<T, n>(output<T>(tensor) + at, run);
}
// The same of elements as they are.
template <class T, int n, class Int>
DEVICE void load_raw(T (&to)[n], const GeneratedTensor& tensor, Int at, bool dense) {
  if (n > 1 && dense) {
    const Run<T, n> run = read_run<T, n>(input<T>(tensor) + at);
#pragma unroll
    for (int i = 0; i < n; ++i) to[i] = run.values[i];
    return;
  }
  const T value = input<T>(tensor)[at];
#pragma unroll
  for (int i = 0; i < n; ++i) to[i] = value;
}
template <class T, int n, class Int>
DEVICE void store_raw(const GeneratedTensor& tensor, Int at, const T (&from)[n]) {
  Run<T, n> run;
#pragma unroll
  for (int i = 0; i < n; ++i) run.values[i] = from[i];
  write_run<T, n>(output<T>(tensor) + at, run);
}

template <class Body, int width, int count, class Int>
DEVICE void elements_of_width(const GeneratedArgs<count>& args) {
  const Int total = static_cast<Int>(args.head.elements);
  const Int step = static_cast<Int>(gridDim.x) * blockDim.x;
  for (Int i = static_cast<Int>(blockIdx.x) * blockDim.x + threadIdx.x; i < total; i += step) {
    Int at[count];
#pragma unroll
    for (int k = 0; k < count; ++k) at[k] = 0;
    add_offsets<count, Int>(args.head, args.tensors, 0, args.head.rank, i, at);
    Body::template run<width>(args, at, i * width);
  }
}
// The host sets `vector` where the innermost dimension can be walked in vectors of `width`, and counts sizes
// and strides in them.
template <class Body, int width, class Int, int count>
DEVICE void elements(const GeneratedArgs<count>& args) {
  if (width > 1 && args.head.vector)
    elements_of_width<Body, width, count, Int>(args);
  else
    elements_of_width<Body, 1, count, Int>(args);
}

// An index as a place in a dimension; false where it is outside of it.
DEVICE bool resolve(i64& index, i64 size) {
  if (index < 0) index += size;
  return index >= 0 && index < size;
}
