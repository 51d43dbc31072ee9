// For tests and small models: a source of weights in memory.
#pragma once

#include <cstring>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "core/error.h"
#include "weights/weights.h"

namespace headrace {

class MemoryReader : public WeightSourceReader {
 public:
  explicit MemoryReader(std::map<std::string, std::vector<std::byte>> storages)
      : storages_(std::move(storages)) {}
  Result<Bytes> size(const std::string& storage) const override {
    const auto found = storages_.find(storage);
    if (found == storages_.end()) return not_found("there is no storage '{}'", storage);
    return Bytes{static_cast<int64_t>(found->second.size())};
  }
  Status read(const std::string& storage, Bytes offset, std::span<std::byte> out) const override {
    HR_ASSIGN(const Bytes size, this->size(storage));
    if (offset.count < 0 || offset.count > size.count ||
        static_cast<int64_t>(out.size()) > size.count - offset.count)
      return corrupt("storage '{}' ends before {} + {}", storage, offset.count, out.size());
    if (!out.empty()) std::memcpy(out.data(), storages_.at(storage).data() + offset.count, out.size());
    return {};
  }

 private:
  std::map<std::string, std::vector<std::byte>> storages_;
};

}  // namespace headrace
