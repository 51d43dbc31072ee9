// Large products by groups of four warps, from sm_90 on: boxes of tensors come to shared memory by themselves (the
// driver has described the tensors: TensorMap), barriers count their bytes, and a group multiplies where they lie. The
// terms are PTX's: cp.async.bulk.tensor, mbarrier, wgmma.
//
// A box is rows of 128 bytes; the runs of 16 bytes of a row change places with the row's number modulo 8, and a box
// begins on a multiple of 1024 bytes. A barrier's turns are told apart by their parity, that of the first being 0.
typedef unsigned long long Barrier;
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
template <class T, int n> DEVICE void multiply_boxes(float (&sum)[n / 2], SharedPlace a, SharedPlace b, bool add) {
  host_multiply_boxes<T, n>(sum, a.at, b.at, add);
}
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
// Rows of 128 bytes, eight of them 1024 bytes from the next eight, runs of 16 bytes changing places.
DEVICE unsigned long long box_at(SharedPlace place) {
  return (place & 0x3ffffu) >> 4 | 1ull << 16 | 64ull << 32 | 1ull << 62;
}
#define SUMS_8(i) "+f"(sum[i]), "+f"(sum[i + 1]), "+f"(sum[i + 2]), "+f"(sum[i + 3]), "+f"(sum[i + 4]), "+f"(sum[i + 5]), "+f"(sum[i + 6]), "+f"(sum[i + 7])
#define SUMS_32(i) SUMS_8(i), SUMS_8(i + 8), SUMS_8(i + 16), SUMS_8(i + 24)
#define SUMS_48 SUMS_32(0), SUMS_8(32), SUMS_8(40)
#define SUMS_64 SUMS_32(0), SUMS_32(32)
#define SUMS_96 SUMS_64, SUMS_32(64)
#define SUM_NAMES_48 \
  "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, " \
  "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, " \
  "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47"
#define SUM_NAMES_64 SUM_NAMES_48 \
  ", %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define SUM_NAMES_96 SUM_NAMES_64 \
  ", %64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, " \
  "%80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95"
#define MULTIPLY_BOXES(T, name, n, count, a_at, b_at, flag)                                                                      \
  template <> DEVICE void multiply_boxes<T, n>(float (&sum)[count], SharedPlace a, SharedPlace b, bool add) {                   \
    asm volatile("{\n\t.reg .pred p;\n\tsetp.ne.b32 p, %" flag ", 0;\n\twgmma.mma_async.sync.aligned.m64n" #n "k16.f32." name \
                 "." name " {" SUM_NAMES_##count "}, %" a_at ", %" b_at ", p, 1, 1, 0, 0;\n\t}"                               \
                 : SUMS_##count                                                                                                 \
                 : "l"(box_at(a)), "l"(box_at(b)), "r"(static_cast<int>(add)));                                                 \
  }
// By a group: 64 rows of a box at `a` and n rows of one at `b`, 16 elements of each; into the sum, or instead of it. A
// thread has, of rows g and g + 8 of its warp's 16, columns 2 t and 2 t + 1 of every eight: sum[4 j + 2 h + i] is that of
// row g + 8 h and column 8 j + 2 t + i, where its lane is 4 g + t.
template <class T, int n> DEVICE void multiply_boxes(float (&sum)[n / 2], SharedPlace a, SharedPlace b, bool add);
MULTIPLY_BOXES(f16, "f16", 96, 48, "48", "49", "50")
MULTIPLY_BOXES(bf16, "bf16", 96, 48, "48", "49", "50")
MULTIPLY_BOXES(f16, "f16", 128, 64, "64", "65", "66")
MULTIPLY_BOXES(bf16, "bf16", 128, 64, "64", "65", "66")
MULTIPLY_BOXES(f16, "f16", 192, 96, "96", "97", "98")
MULTIPLY_BOXES(bf16, "bf16", 192, 96, "96", "97", "98")
#undef MULTIPLY_BOXES
#endif
