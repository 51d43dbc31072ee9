// Checksums (XXH3-64) and keys (SHA-256).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace headrace {

uint64_t checksum(std::span<const std::byte> bytes);  // XXH3, 64 bits

class Checksum {  // the same, in pieces
 public:
  Checksum();
  ~Checksum();
  void update(std::span<const std::byte> bytes);
  uint64_t digest() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

std::string sha256_hex(std::string_view text);

}  // namespace headrace
