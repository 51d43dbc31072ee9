// LinkRate: how fast streamed weights arrive, their waits for places left out.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>

#include <headrace/bytes.h>

namespace headrace::runtime {

// Threads: one notes, any may ask.
class LinkRate {
 public:
  // Fewer bytes tell more of delays than of the link; they do not count.
  static constexpr Bytes kLeast = mib(4);

  // Of bytes that came without a pause.
  void note(Bytes size, int64_t ns) {  // into a mean in which older ones fade
    if (size < kLeast || ns <= 0) return;
    __extension__ typedef __int128 Wide;
    const auto rate = static_cast<int64_t>(std::min(Wide{size.count} * 1'000'000'000 / ns, Wide{kMost}));
    const int64_t before = rate_.load(std::memory_order_relaxed);
    rate_.store(before == 0 ? rate : (3 * before + rate) / 4, std::memory_order_relaxed);
  }
  int64_t get() const { return rate_.load(std::memory_order_relaxed); }  // bytes a second; 0: none measured

 private:
  static constexpr int64_t kMost = int64_t{1} << 50;  // a second
  std::atomic<int64_t> rate_ = 0;
};

// Whether the larger is more by a quarter. Plans do not follow less than that.
inline bool differ(int64_t a, int64_t b) { return std::max(a, b) - std::min(a, b) > std::min(a, b) / 4; }

}  // namespace headrace::runtime
