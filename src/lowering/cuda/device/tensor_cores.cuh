// Products of small matrices by a warp: 16 × 16 times 16 × 8, of f16 or bf16, summed in float. Fragments are
// as the instruction has them: lane 4 g + t holds of the first operand rows g and g + 8, columns 2 t, 2 t + 1
// and 8 further; of the second, rows 2 t, 2 t + 1 and 8 further of column g; of the sum, columns 2 t and
// 2 t + 1 of rows g and g + 8.
struct Matrices {
  unsigned parts[4];
};
// Addresses of shared memory are numbers on the device, so that instructions add constants to them for nothing.
#ifdef HEADRACE_ON_HOST
struct SharedPlace {
  char* at;
  SharedPlace operator+(int bytes) const { return {at + bytes}; }
};
inline SharedPlace shared_place(const void* at) { return {static_cast<char*>(const_cast<void*>(at))}; }
inline SharedPlace align_place(SharedPlace place, unsigned to) {
  return place + static_cast<int>(-reinterpret_cast<unsigned long long>(place.at) % to);
}
template <class T> DEVICE void multiply_add(float (&sum)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
  host_multiply_add<T>(sum, a, b0, b1);
}
template <bool transposed> DEVICE Matrices load_matrices(SharedPlace row) { return host_load_matrices<transposed, Matrices>(row.at); }
DEVICE unsigned pack_pair(f16, float low, float high) { return float_to_f16(low).bits | static_cast<unsigned>(float_to_f16(high).bits) << 16; }
DEVICE unsigned pack_pair(bf16, float low, float high) {
  return float_to_bf16(low).bits | static_cast<unsigned>(float_to_bf16(high).bits) << 16;
}
DEVICE void start_copy(SharedPlace to, const void* from, bool real) {
  if (real)
    __builtin_memcpy(to.at, from, 16);
  else
    __builtin_memset(to.at, 0, 16);
}
DEVICE void end_group() {}
template <int left> DEVICE void wait_for_groups() {}
#else
typedef unsigned SharedPlace;
DEVICE SharedPlace shared_place(const void* at) { return static_cast<unsigned>(__cvta_generic_to_shared(at)); }
DEVICE SharedPlace align_place(SharedPlace place, unsigned to) { return (place + to - 1) / to * to; }
template <class T> DEVICE void multiply_add(float (&sum)[4], const unsigned (&a)[4], unsigned b0, unsigned b1);
template <> DEVICE void multiply_add<f16>(float (&sum)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
template <> DEVICE void multiply_add<bf16>(float (&sum)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
// Four 8 × 8 matrices from shared memory; lane 8 i + r gives the address of row r of matrix i, on 16 bytes.
template <bool transposed> DEVICE Matrices load_matrices(SharedPlace row) {
  Matrices m;
  if (transposed)
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(m.parts[0]), "=r"(m.parts[1]), "=r"(m.parts[2]), "=r"(m.parts[3])
                 : "r"(row)
                 : "memory");
  else
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(m.parts[0]), "=r"(m.parts[1]), "=r"(m.parts[2]), "=r"(m.parts[3])
                 : "r"(row)
                 : "memory");
  return m;
}
DEVICE unsigned pack_pair(f16, float low, float high) {
  unsigned pair;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
}
DEVICE unsigned pack_pair(bf16, float low, float high) {
  unsigned pair;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
}
// 16 bytes to shared memory, behind the thread's back; zeros where not `real`. Copies up to end_group() are a
// group; wait_for_groups() returns when all but the last `left` groups are there.
DEVICE void start_copy(SharedPlace to, const void* from, bool real) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(real ? 16 : 0) : "memory");
}
DEVICE void end_group() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int left> DEVICE void wait_for_groups() { asm volatile("cp.async.wait_group %0;" ::"n"(left) : "memory"); }
#endif
template <bool transposed> DEVICE Matrices load_matrices(const void* row) { return load_matrices<transposed>(shared_place(row)); }
DEVICE void start_copy(void* to, const void* from, bool real) { start_copy(shared_place(to), from, real); }
// Eight numbers, rounded to 16 bits, to 16 bytes.
template <class T> DEVICE void write_packed(T* to, const float (&x)[8]) {
  Piece16 run;
#pragma unroll
  for (int i = 0; i < 4; ++i) run.words[i] = pack_pair(T(), x[2 * i], x[2 * i + 1]);
  *reinterpret_cast<Piece16*>(to) = run;
}
