#include "runtime/row_source.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <numeric>

#include "core/error.h"

namespace headrace::runtime {
namespace {

constexpr int64_t kBlock = kReadAlignment.count;
constexpr Bytes kRowBuffer = kib(512);

int64_t block_begin(int64_t at) { return at / kBlock * kBlock; }
int64_t block_end(int64_t at) { return (at + kBlock - 1) / kBlock * kBlock; }

Status check_indices(const Weight& weight, std::span<const int64_t> indices) {
  for (const int64_t index : indices) {
    if (index < 0 || index >= weight.shape[0]) {
      return invalid_argument("weight '{}' has rows 0 to {}; row {} was asked for", weight.name,
                              weight.shape[0] - 1, index);
    }
  }
  return {};
}

}  // namespace

Bytes row_bytes(const Weight& weight) {
  return weight.shape.empty() || weight.shape[0] == 0 ? Bytes{}
                                                      : Bytes{weight.stored.count / weight.shape[0]};
}

Bytes row_buffer_size(const Weight& weight) {
  const Bytes one_row = {block_end(row_bytes(weight).count) + kBlock};
  const Bytes all = {block_end(weight.stored.count)};  // the weight begins with a block
  return std::min(all, std::max(one_row, kRowBuffer));
}

Status MemoryRows::gather(std::span<const int64_t> indices, std::byte* out) {
  HR_TRY(check_indices(*weight_, indices));
  const int64_t size = row_bytes(*weight_).count;
  for (const int64_t index : indices) {
    std::memcpy(out, data_ + index * size, static_cast<size_t>(size));
    out += size;
  }
  return {};
}

Status FileRows::gather(std::span<const int64_t> indices, std::byte* out) {
  HR_TRY(check_indices(*weight_, indices));
  const int64_t size = row_bytes(*weight_).count;
  order_.resize(indices.size());
  std::iota(order_.begin(), order_.end(), size_t{0});
  std::sort(order_.begin(), order_.end(), [&](size_t a, size_t b) { return indices[a] < indices[b]; });

  size_t begin = 0;
  int64_t used = 0;
  ranges_.clear();
  for (size_t i = 0; i < order_.size(); ++i) {
    const int64_t at = offset_.count + indices[order_[i]] * size;
    const int64_t from = block_begin(at);
    const int64_t to = block_end(at + size);
    const bool touches = !ranges_.empty() && from <= ranges_.back().end;
    const int64_t more = touches ? std::max<int64_t>(0, to - ranges_.back().end) : to - from;
    if (used + more > static_cast<int64_t>(buffer_.size())) {
      HR_TRY(gather_batch(indices, std::span(order_).subspan(begin, i - begin), out));
      begin = i;
      used = 0;
      ranges_.clear();
    }
    if (!ranges_.empty() && from <= ranges_.back().end) {
      ranges_.back().end = std::max(ranges_.back().end, to);
    } else {
      ranges_.push_back({from, to, used});
    }
    used = ranges_.back().at + ranges_.back().end - ranges_.back().begin;
  }
  return gather_batch(indices, std::span(order_).subspan(begin), out);
}

Status FileRows::read_ranges() {
  const int64_t begin_ns = device_ ? device_->now_ns() : 0;
  Bytes bytes;
  std::vector<std::unique_ptr<ReadTicket>> tickets;
  tickets.reserve(ranges_.size());
  for (const Range& range : ranges_) {
    const Bytes size = {range.end - range.begin};
    auto ticket = reader_->start({range.begin}, size, buffer_.data() + range.at);
    if (!ticket.ok()) return ticket.status().with_context(fmt::format("weight '{}'", weight_->name));
    tickets.push_back(*std::move(ticket));
    bytes += size;
  }
  for (auto& ticket : tickets) {
    if (Status status = ticket->wait(); !status.ok()) {
      return status.with_context(fmt::format("weight '{}'", weight_->name));
    }
  }
  const int64_t end_ns = device_ ? device_->now_ns() : 0;
  statistics_.read += bytes;
  statistics_.wait_ns += end_ns - begin_ns;
  if (times_) times_->add(begin_ns, end_ns);
  if (trace_) {
    trace_->add(TraceTrack::kRead, fmt::format("rows of '{}'", weight_->name), begin_ns, end_ns, bytes.count);
  }
  return {};
}

Status FileRows::gather_batch(std::span<const int64_t> indices, std::span<const size_t> batch,
                              std::byte* out) {
  if (batch.empty()) return {};
  HR_TRY(read_ranges());
  const int64_t size = row_bytes(*weight_).count;
  size_t range = 0;
  for (const size_t position : batch) {
    const int64_t at = offset_.count + indices[position] * size;
    while (at >= ranges_[range].end) ++range;
    std::memcpy(out + static_cast<int64_t>(position) * size,
                buffer_.data() + ranges_[range].at + (at - ranges_[range].begin), static_cast<size_t>(size));
  }
  return {};
}

}  // namespace headrace::runtime
