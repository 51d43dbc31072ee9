// Large products by groups of four warps, from sm_90 on: boxes of tensors come to shared memory by themselves (the
// driver has described the tensors: TensorMap), barriers count their bytes, and a group multiplies where they lie. The
// terms are PTX's: cp.async.bulk.tensor, mbarrier, wgmma.
//
// A box is rows of 128 bytes; the runs of 16 bytes of a row change places with the row's number modulo 8, and a box
// begins on a multiple of 1024 bytes. A barrier's turns are told apart by their parity, that of the first being 0.
typedef unsigned long long Barrier;
// The first place in dynamic shared memory where a box may begin.
DEVICE char* first_box(Piece16* shared) {
  return reinterpret_cast<char*>(shared) + (0 - reinterpret_cast<unsigned long long>(shared)) % 1024;
}
// Where byte `at` of a box lies, whose rows have `pitch` bytes: 32, 64 or 128.
template <int pitch> DEVICE int in_box(int at) { return at ^ (at >> 7 & (pitch / 16 - 1)) << 4; }
#ifdef HEADRACE_ON_HOST
DEVICE void init_barrier(Barrier* barrier, unsigned arrivals) { host_init_barrier(barrier, arrivals); }
DEVICE void publish_barriers() {}
DEVICE void arrive(Barrier* barrier) { host_arrive(barrier, 0); }
DEVICE void arrive_expecting(Barrier* barrier, unsigned bytes) { host_arrive(barrier, bytes); }
DEVICE void wait_barrier(const Barrier* barrier, unsigned parity) { host_wait_barrier(barrier, parity); }
DEVICE void start_box(SharedPlace to, const TensorMap& map, Barrier* barrier, int x, int y) {
  host_copy_box(to.at, &map, barrier, {x, y, 0, 0, 0});
}
DEVICE void start_weight_box(SharedPlace to, const TensorMap& map, Barrier* barrier, int x, int group) {
  host_copy_box(to.at, &map, barrier, {x, 0, 0, 0, group});
}
template <int count> DEVICE void give_registers() {}
template <int count> DEVICE void take_registers() {}
DEVICE void begin_products() {}
DEVICE void end_products() {}
template <int left> DEVICE void wait_for_products() {}
template <int pitch> struct Box {
  char* at;
  Box operator+(int bytes) const { return {at + bytes}; }
};
template <int pitch = 128> Box<pitch> box_at(SharedPlace place) { return {place.at}; }
template <class T, int n, int pitch> DEVICE void multiply_boxes(float (&sum)[n / 2], Box<pitch> a, Box<128> b, bool add) {
  host_multiply_boxes<T, n, pitch>(sum, a.at, b.at, add);
}
DEVICE float rounded_operand(float x) { return x; }
template <class T> DEVICE void add_turned(float (&sum)[32], const unsigned (&a)[4], Box<128> b) {
  host_add_turned<T>(sum, a, b.at);
}
DEVICE void publish_boxes() {}
#elif __CUDA_ARCH__ >= 900
DEVICE void init_barrier(Barrier* barrier, unsigned arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_place(barrier)), "r"(arrivals));
}
// What init_barrier() did is seen by copies, too; threads meet as well before they go on.
DEVICE void publish_barriers() { asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory"); }
DEVICE void arrive(Barrier* barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_place(barrier)) : "memory");
}
DEVICE void arrive_expecting(Barrier* barrier, unsigned bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_place(barrier)), "r"(bytes) : "memory");
}
DEVICE void wait_barrier(const Barrier* barrier, unsigned parity) {
  asm volatile("{\n\t.reg .pred done;\n"
               "again_%=:\n\tmbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n\t@!done bra again_%=;\n\t}"
               ::"r"(shared_place(barrier)), "r"(parity) : "memory");
}
DEVICE void start_box(SharedPlace to, const TensorMap& map, Barrier* barrier, int x, int y) {
  asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4}], [%2];"
               ::"r"(to), "l"(&map), "r"(shared_place(barrier)), "r"(x), "r"(y) : "memory");
}
DEVICE void start_weight_box(SharedPlace to, const TensorMap& map, Barrier* barrier, int x, int group) {
  asm volatile("cp.async.bulk.tensor.5d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, %4, %4, %5}], [%2];"
               ::"r"(to), "l"(&map), "r"(shared_place(barrier)), "r"(x), "r"(0), "r"(group) : "memory");
}
// Of each thread's registers, by all threads of a group: those that copy leave theirs to those that multiply.
template <int count> DEVICE void give_registers() { asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(count)); }
template <int count> DEVICE void take_registers() { asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(count)); }
// Products between these are a batch; wait_for_products() returns when all but the last `left` batches are done.
DEVICE void begin_products() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
DEVICE void end_products() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
template <int left> DEVICE void wait_for_products() { asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(left) : "memory"); }
// Rows of `pitch` bytes, 32, 64 or 128, whose runs of 16 bytes change places with the multiple of 128 bytes they lie in; as
// products are told of them. It is put together once, and moved on by whole runs.
template <int pitch> struct Box {
  unsigned at;  // in runs; what lies above it is the same for all
  DEVICE Box operator+(int bytes) const { return {at + bytes / 16}; }
  DEVICE unsigned long long described() const {
    constexpr unsigned kPlaces = pitch == 128 ? 1 : pitch == 64 ? 2 : 3;
    return static_cast<unsigned long long>(8 * pitch >> 4 | kPlaces << 30) << 32 | at;
  }
};
// By all of a warp, of one place. The shuffle says that it is one, so that it stays in a register for the whole warp, from
// where the instruction takes it.
template <int pitch = 128> DEVICE Box<pitch> box_at(SharedPlace place) {
  return {(SHUFFLE(place, 0) & 0x3ffffu) >> 4 | 1u << 16};
}
#define SUMS_8(i) "+f"(sum[i]), "+f"(sum[i + 1]), "+f"(sum[i + 2]), "+f"(sum[i + 3]), "+f"(sum[i + 4]), "+f"(sum[i + 5]), "+f"(sum[i + 6]), "+f"(sum[i + 7])
#define SUMS_OF_32(i) SUMS_8(i), SUMS_8(i + 8), SUMS_8(i + 16), SUMS_8(i + 24)
#define SUMS_32 SUMS_OF_32(0)
#define SUMS_48 SUMS_OF_32(0), SUMS_8(32), SUMS_8(40)
#define SUMS_64 SUMS_OF_32(0), SUMS_OF_32(32)
#define SUMS_96 SUMS_64, SUMS_OF_32(64)
#define SUMS_16 SUMS_8(0), SUMS_8(8)
#define SUM_NAMES_16 \
  "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15"
#define SUM_NAMES_32 \
  "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, " \
  "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define SUM_NAMES_48 SUM_NAMES_32 \
  ", %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47"
#define SUM_NAMES_64 SUM_NAMES_48 \
  ", %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define SUM_NAMES_96 SUM_NAMES_64 \
  ", %64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, " \
  "%80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95"
#define MULTIPLY_BOXES(T, name, depth, order, n, count, a_at, b_at, flag)                                                        \
  template <> DEVICE void multiply_described<T, n>(float (&sum)[count], unsigned long long a, unsigned long long b, bool add) { \
    asm volatile("{\n\t.reg .pred p;\n\tsetp.ne.b32 p, %" flag ", 0;\n\twgmma.mma_async.sync.aligned.m64n" #n depth          \
                 ".f32." name "." name " {" SUM_NAMES_##count "}, %" a_at ", %" b_at ", p, 1, 1" order ";\n\t}"                 \
                 : SUMS_##count                                                                                                 \
                 : "l"(a), "l"(b), "r"(static_cast<int>(add)));                                                                 \
  }
#define MULTIPLY_ANY_BOXES(n, count, a_at, b_at, flag)                              \
  MULTIPLY_BOXES(f16, "f16", "k16", ", 0, 0", n, count, a_at, b_at, flag)          \
  MULTIPLY_BOXES(bf16, "bf16", "k16", ", 0, 0", n, count, a_at, b_at, flag)        \
  MULTIPLY_BOXES(f32, "tf32", "k8", "", n, count, a_at, b_at, flag)
// By a group: 64 rows of a box at `a` and n rows of one at `b`, 32 bytes of each; into the sum, or instead of it. A thread
// has, of rows g and g + 8 of its warp's 16, columns 2 t and 2 t + 1 of every eight: sum[4 j + 2 h + i] is that of row
// g + 8 h and column 8 j + 2 t + i, where its lane is 4 g + t. Rows of `a` are `pitch` bytes apart, those of `b` 128.
template <class T, int n>
DEVICE void multiply_described(float (&sum)[n / 2], unsigned long long a, unsigned long long b, bool add);
MULTIPLY_ANY_BOXES(32, 16, "16", "17", "18")
MULTIPLY_ANY_BOXES(64, 32, "32", "33", "34")
MULTIPLY_ANY_BOXES(96, 48, "48", "49", "50")
MULTIPLY_ANY_BOXES(128, 64, "64", "65", "66")
MULTIPLY_ANY_BOXES(192, 96, "96", "97", "98")
#undef MULTIPLY_ANY_BOXES
#undef MULTIPLY_BOXES
template <class T, int n, int pitch> DEVICE void multiply_boxes(float (&sum)[n / 2], Box<pitch> a, Box<128> b, bool add) {
  multiply_described<T, n>(sum, a.described(), b.described(), add);
}
// f32 as products take it, TF32: they would cut it off.
DEVICE float rounded_operand(float x) {
  unsigned bits;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(x));
  return bits_to_float(bits);
}
// The same of 64 rows by the columns of a box: 16 elements of each row, which threads hold as multiply_add()'s first operand
// (tensor_cores.cuh), and as many rows of the box at `b`, whose 64 columns are the sum's.
template <class T> DEVICE void add_turned(float (&sum)[32], const unsigned (&a)[4], Box<128> b);
#define ADD_TURNED(T, name)                                                                                                   \
  template <> DEVICE void add_turned<T>(float (&sum)[32], const unsigned (&a)[4], Box<128> b) {                              \
    asm volatile("wgmma.mma_async.sync.aligned.m64n64k16.f32." name "." name                                                  \
                 " {" SUM_NAMES_32 "}, {%32, %33, %34, %35}, %36, 1, 1, 1, 1;"                                                \
                 : SUMS_32                                                                                                 \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b.described()));                                               \
  }
ADD_TURNED(f16, "f16")
ADD_TURNED(bf16, "bf16")
#undef ADD_TURNED
// What this thread has written into boxes is seen by products, once threads have met.
DEVICE void publish_boxes() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }
#endif
template <class T> DEVICE T rounded_operand(T x) { return x; }
