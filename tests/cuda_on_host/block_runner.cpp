#include "cuda_on_host/block_runner.h"

#include <ucontext.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "core/error.h"
#include "cuda_on_host/device_on_host.h"

HostDim threadIdx, blockIdx, gridDim, blockDim;

namespace headrace::test {
namespace {

#ifdef __SANITIZE_ADDRESS__
constexpr size_t kStack = size_t{256} << 10;  // its redzones take room
#else
constexpr size_t kStack = size_t{64} << 10;
#endif
constexpr size_t kWarp = 32;
constexpr size_t kLargestExchange = 32;

struct alignas(16) Exchanged : std::array<char, kLargestExchange> {};

struct Fiber {
  ucontext_t context = {};
  std::vector<char> stack = std::vector<char>(kStack);
  HostDim index = {};
  bool done = false;
};

struct Meeting {
  size_t arrived = 0;
  uint64_t number = 0;
};

struct Block {
  std::vector<Fiber> fibers;
  ucontext_t scheduler = {};
  size_t current = 0;
  HostKernel kernel = nullptr;
  const void* arguments = nullptr;
  Meeting whole;
  std::vector<Meeting> warps;
  std::vector<Exchanged> given;  // by thread
  bool moved = false;            // since the last look at all fibers

  size_t waiting(size_t begin, size_t end) const {
    size_t count = 0;
    for (size_t i = begin; i < end; ++i) count += fibers[i].done ? 0 : 1;
    return count;
  }
  void meet(Meeting& meeting, size_t begin, size_t end) {
    const uint64_t number = meeting.number;
    moved = true;
    if (++meeting.arrived >= waiting(begin, end)) {
      meeting.arrived = 0;
      ++meeting.number;
      return;
    }
    while (meeting.number == number) swapcontext(&fibers[current].context, &scheduler);
  }
  void meet_warp() {
    const size_t begin = current / kWarp * kWarp;
    meet(warps[current / kWarp], begin, std::min(begin + kWarp, fibers.size()));
  }
};

Block block;

void run_fiber() {
  block.kernel(block.arguments);
  block.fibers[block.current].done = true;
  block.moved = true;
}

// All threads in turn, each until it waits. False where none could go on.
bool turn() {
  block.moved = false;
  for (block.current = 0; block.current < block.fibers.size(); ++block.current) {
    Fiber& fiber = block.fibers[block.current];
    if (fiber.done) continue;
    threadIdx = fiber.index;
    swapcontext(&block.scheduler, &fiber.context);
  }
  return block.moved;
}

void start_fibers() {
  for (size_t i = 0; i < block.fibers.size(); ++i) {
    Fiber& fiber = block.fibers[i];
    fiber.done = false;
    fiber.index = {static_cast<unsigned>(i) % blockDim.x, static_cast<unsigned>(i) / blockDim.x, 0};
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack.data();
    fiber.context.uc_stack.ss_size = fiber.stack.size();
    fiber.context.uc_link = &block.scheduler;
    makecontext(&fiber.context, run_fiber, 0);
  }
}

}  // namespace

Status run_blocks(HostKernel kernel, const void* arguments, const cuda::GeneratedLaunch& launch,
                  std::string_view name) {
  gridDim = {launch.grid[0], launch.grid[1], launch.grid[2]};
  blockDim = {launch.block[0], launch.block[1], launch.block[2]};
  const size_t threads = size_t{blockDim.x} * blockDim.y;
  block.fibers.resize(threads);
  block.given.resize(threads);
  block.kernel = kernel;
  block.arguments = arguments;
  for (unsigned i = 0; i < gridDim.x; ++i) {
    blockIdx = {i, 0, 0};
    block.whole = {};
    block.warps.assign((threads + kWarp - 1) / kWarp, {});
    start_fibers();
    while (block.waiting(0, threads) > 0)
      if (!turn()) return internal_error("the threads of '{}' wait for each other for ever", name);
  }
  return {};
}

}  // namespace headrace::test

void meet_block() {
  using headrace::test::block;
  block.meet(block.whole, 0, block.fibers.size());
}
void meet_warp() { headrace::test::block.meet_warp(); }
int lane_of_thread() { return static_cast<int>(headrace::test::block.current % headrace::test::kWarp); }
void give_to_warp(const void* value, size_t size) {
  using headrace::test::block;
  if (size > headrace::test::kLargestExchange) std::abort();
  std::memcpy(block.given[block.current].data(), value, size);
  block.meet_warp();
}
void let_others_go_on() {
  using headrace::test::block;
  swapcontext(&block.fibers[block.current].context, &block.scheduler);
}
void note_progress() { headrace::test::block.moved = true; }
const void* given_by(int lane) {
  using headrace::test::block;
  const size_t from =
      block.current / headrace::test::kWarp * headrace::test::kWarp + static_cast<size_t>(lane & 31);
  return block.given[from].data();
}
