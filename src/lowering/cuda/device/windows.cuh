// Kernels of a thread an element of the result, which looks at a window of its operand. Tensors are in the
// order N, spatial.., C; sizes are the result's; numbers: the operand's spatial sizes. Windows have constants
// by spatial dimension: kernel(d), stride(d), dilation(d), low(d), high(d), the last two the padding.
template <int rank, class Int> struct Place {
  Int at[rank > 0 ? rank : 1];
};
template <int rank, class Int> DEVICE Place<rank, Int> place_of(const GeneratedHead& head, Int index) {
  Place<rank, Int> place;
#pragma unroll
  for (int d = rank - 1; d > 0; --d) {
    const Int size = static_cast<Int>(head.sizes[d]);
    const Int next = index / size;
    place.at[d] = index - next * size;
    index = next;
  }
  if (rank > 0) place.at[0] = index;
  return place;
}
template <int rank, class Int> DEVICE Int offset_of(const GeneratedTensor& tensor, const Place<rank, Int>& place) {
  Int at = 0;
#pragma unroll
  for (int d = 0; d < rank; ++d) at += place.at[d] * static_cast<Int>(tensor.strides[d]);
  return at;
}
template <int count, class Int, class F> DEVICE void each_element(const GeneratedArgs<count>& args, F f) {
  const Int total = static_cast<Int>(args.head.elements);
  const Int step = static_cast<Int>(gridDim.x) * blockDim.x;
  for (Int i = static_cast<Int>(blockIdx.x) * blockDim.x + threadIdx.x; i < total; i += step) f(i);
}

// Low: a struct with at(d), the padding before dimension d. A thread makes `width` neighbours of the last
// dimension.
template <class T, int rank, class Low, int width, class Int>
DEVICE void pad_runs(const GeneratedArgs<2>& args, T value) {
  each_element<2, Int>(args, [&](Int i) {
    Place<rank, Int> place = place_of<rank, Int>(args.head, i);
    if (rank > 0) place.at[rank - 1] *= width;
    const GeneratedTensor& x = args.tensors[0];
    Int from = 0;
    bool inside = true;
#pragma unroll
    for (int d = 0; d + 1 < rank; ++d) {
      const i64 at = static_cast<i64>(place.at[d]) - Low::at(d);
      inside &= at >= 0 && at < args.head.numbers[d];
      if (inside) from += static_cast<Int>(at) * static_cast<Int>(x.strides[d]);
    }
    Run<T, width> run;
#pragma unroll
    for (int c = 0; c < width; ++c) {
      const i64 at = rank > 0 ? static_cast<i64>(place.at[rank > 0 ? rank - 1 : 0]) + c - Low::at(rank - 1) : 0;
      const bool here = inside && at >= 0 && (rank == 0 || at < args.head.numbers[rank > 0 ? rank - 1 : 0]);
      run.values[c] = here ? input<T>(x)[from + static_cast<Int>(at) * static_cast<Int>(x.strides[rank > 0 ? rank - 1 : 0])]
                           : value;
    }
    write_run<T, width>(output<T>(args.tensors[1]) + offset_of<rank, Int>(args.tensors[1], place), run);
  });
}
template <class T, int rank, class Low, int width, class Int>
DEVICE void pad(const GeneratedArgs<2>& args, T value) {
  if (width > 1 && args.head.vector)
    pad_runs<T, rank, Low, width, Int>(args, value);
  else
    pad_runs<T, rank, Low, 1, Int>(args, value);
}

// Tensors: x, w, bias, residual, y. w's strides are of [O, C/groups, k..] ([C, O/groups, k..] transposed).
// numbers: spatial sizes of x, then channels of x and of y a group. E::of is the epilogue.
template <class T, int spatial, class W, bool transposed, class E, class Int>
DEVICE void convolve(const GeneratedArgs<5>& args) {
  typedef ComputeOf<T> A;
  each_element<5, Int>(args, [&](Int i) {
    const Place<spatial + 2, Int> place = place_of<spatial + 2, Int>(args.head, i);
    const GeneratedTensor &x = args.tensors[0], &w = args.tensors[1];
    const Int in = static_cast<Int>(args.head.numbers[spatial]), out = static_cast<Int>(args.head.numbers[spatial + 1]);
    const Int o = place.at[spatial + 1], group = o / out;
    const Int base = place.at[0] * static_cast<Int>(x.strides[0]) + group * in * static_cast<Int>(x.strides[spatial + 1]);
    const Int w_base = transposed ? group * in * static_cast<Int>(w.strides[0]) +
                                        (o - group * out) * static_cast<Int>(w.strides[1])
                                  : o * static_cast<Int>(w.strides[0]);
    const Int w_step = static_cast<Int>(w.strides[transposed ? 0 : 1]);
    A sum = 0;
    const auto cell = [&](Int x_at, const int (&k)[3]) {
      Int w_at = w_base;
#pragma unroll
      for (int d = 0; d < spatial; ++d) w_at += static_cast<Int>(k[3 - spatial + d]) * static_cast<Int>(w.strides[2 + d]);
      for (Int c = 0; c < in; ++c)
        sum += widen(input<T>(x)[x_at + c * static_cast<Int>(x.strides[spatial + 1])]) *
               widen(input<T>(w)[w_at + c * w_step]);
    };
    int k[3];
    constexpr int k0 = spatial > 2 ? W::kernel(spatial - 3) : 1;
    constexpr int k1 = spatial > 1 ? W::kernel(spatial - 2) : 1;
    constexpr int k2 = W::kernel(spatial - 1);
    for (k[0] = 0; k[0] < k0; ++k[0])
      for (k[1] = 0; k[1] < k1; ++k[1])
        for (k[2] = 0; k[2] < k2; ++k[2]) {
          Int x_at = base;
          bool inside = true;
#pragma unroll
          for (int d = 0; d < spatial; ++d) {
            const i64 kd = static_cast<i64>(k[3 - spatial + d]) * W::dilation(d), at = place.at[1 + d];
            i64 from = transposed ? at + W::low(d) - kd : at * W::stride(d) - W::low(d) + kd;
            if (transposed) {
              inside &= from >= 0 && from % W::stride(d) == 0;
              from /= W::stride(d);
            }
            inside &= from >= 0 && from < args.head.numbers[d];
            x_at += static_cast<Int>(from) * static_cast<Int>(x.strides[1 + d]);
          }
          if (inside) cell(x_at, k);
        }
    if (args.tensors[2].data) sum += widen(input<T>(args.tensors[2])[o * static_cast<Int>(args.tensors[2].strides[0])]);
    if (args.tensors[3].data) sum += widen(input<T>(args.tensors[3])[offset_of<spatial + 2, Int>(args.tensors[3], place)]);
    output<T>(args.tensors[4])[offset_of<spatial + 2, Int>(args.tensors[4], place)] = narrow<T>(E::of(sum));
  });
}
