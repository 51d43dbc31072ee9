#include "core/hash.h"

#include <openssl/evp.h>
#include <xxhash.h>

#include <array>

#include "core/error.h"

namespace headrace {

uint64_t checksum(std::span<const std::byte> bytes) { return XXH3_64bits(bytes.data(), bytes.size()); }

struct Checksum::State {
  struct Free {
    void operator()(XXH3_state_t* state) const { XXH3_freeState(state); }
  };
  std::unique_ptr<XXH3_state_t, Free> hash{XXH3_createState()};
};

Checksum::Checksum() : state_(std::make_unique<State>()) { XXH3_64bits_reset(state_->hash.get()); }
Checksum::~Checksum() = default;
void Checksum::update(std::span<const std::byte> bytes) {
  XXH3_64bits_update(state_->hash.get(), bytes.data(), bytes.size());
}
uint64_t Checksum::digest() const { return XXH3_64bits_digest(state_->hash.get()); }

std::string sha256_hex(std::string_view text) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int size = 0;
  EVP_Digest(text.data(), text.size(), digest.data(), &size, EVP_sha256(), nullptr);
  std::string hex;
  for (unsigned int i = 0; i < size; ++i) hex += fmt::format("{:02x}", digest[i]);
  return hex;
}

}  // namespace headrace
