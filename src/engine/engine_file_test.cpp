#include "engine/engine_file.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <fstream>

#include "core/file.h"
#include "core/hash.h"
#include "engine/engine_format.h"
#include "engine/testing.h"

namespace headrace {
namespace {

using ::testing::HasSubstr;
using testing::RandomPlan;
using testing::TemporaryFolder;
using testing::write_engine;

// As an engine's text would be: opaque bytes here.
const std::string kGraph = "graph(%x: f32[2]) {\n  return %x as \"x\"\n}\n\0\xff";

// The same plan with the checksums that writing fills in.
Plan with_checksums(Plan plan, const std::vector<std::vector<std::byte>>& weights) {
  for (size_t i = 0; i < weights.size(); ++i) plan.weights[i].checksum = checksum(weights[i]);
  return plan;
}

std::string contents(const std::filesystem::path& path) {
  Result<std::string> text = read_text_file(path);
  EXPECT_TRUE(text.ok()) << text.status().message();
  return text.ok() ? *text : "";
}

void overwrite(const std::filesystem::path& path, std::string_view bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

std::span<const std::byte> as_bytes(const std::string& text) { return std::as_bytes(std::span(text)); }

// One with weights, groups and all: seeds are tried until there is one.
struct Example {
  TemporaryFolder folder;
  std::filesystem::path path = folder.path() / "a.engine";
  Plan plan;
  std::string bytes;

  Example() {
    for (uint64_t seed = 1;; ++seed) {
      RandomPlan random(seed);
      plan = random.make();
      if (plan.groups.size() < 3 || plan.literals.empty() || plan.symbols.empty()) continue;
      const auto weights = random.weights();
      EXPECT_TRUE(write_engine(path, plan, weights, kGraph).ok());
      plan = with_checksums(plan, weights);
      bytes = contents(path);
      return;
    }
  }
  EngineHeader header() const {
    return *decode_header(as_bytes(bytes).first(4096), Bytes{static_cast<int64_t>(bytes.size())});
  }
};

TEST(EngineFile, GivesBackTheSamePlan) {
  const TemporaryFolder folder;
  for (uint64_t seed = 0; seed < 200; ++seed) {
    RandomPlan random(seed);
    const Plan plan = random.make();
    ASSERT_TRUE(verify(plan).ok()) << seed << ": " << verify(plan).message();
    const auto weights = random.weights();
    const auto path = folder.path() / "a.engine";
    const Result<Bytes> written = write_engine(path, plan, weights);
    ASSERT_TRUE(written.ok()) << written.status().message();
    const Result<EngineFile> file = EngineFile::open(path);
    ASSERT_TRUE(file.ok()) << file.status().message();
    EXPECT_EQ(file->plan(), with_checksums(plan, weights)) << seed;
    EXPECT_EQ(file->size(), *written);
    EXPECT_THAT(file->toolchain(), HasSubstr("headrace "));
    EXPECT_TRUE(file->verify().ok()) << file->verify().message();
    for (size_t i = 0; i < weights.size(); ++i) {
      const Weight& weight = file->plan().weights[i];
      std::vector<std::byte> bytes(weights[i].size());
      const Bytes at = file->weights_offset() +
                       file->plan().groups[static_cast<size_t>(weight.group)].offset + weight.offset;
      ASSERT_TRUE(read_exactly(file->fd(), at, bytes, path).ok());
      EXPECT_EQ(bytes, weights[i]);
    }
  }
}

TEST(EngineFile, HasTheSameBytesForTheSameInput) {
  const TemporaryFolder folder;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    RandomPlan random(seed);
    const Plan plan = random.make();
    const auto weights = random.weights();
    ASSERT_TRUE(write_engine(folder.path() / "a", plan, weights).ok());
    ASSERT_TRUE(write_engine(folder.path() / "b", plan, weights).ok());
    EXPECT_EQ(contents(folder.path() / "a"), contents(folder.path() / "b"));
  }
}

TEST(EngineFile, ParsesFromMemoryAtAnyAddress) {
  const Example example;
  for (size_t shift = 0; shift < 16; ++shift) {
    const std::string moved = std::string(shift, 'x') + example.bytes;
    const Result<Plan> plan = EngineFile::parse(as_bytes(moved).subspan(shift));
    ASSERT_TRUE(plan.ok()) << plan.status().message();
    EXPECT_EQ(*plan, example.plan);
  }
}

TEST(EngineFile, RefusesEveryFlippedByteOfHeaderAndMetadata) {
  const Example example;
  const EngineHeader header = example.header();
  std::string damaged = example.bytes;
  const auto flip_all = [&](int64_t begin, int64_t end) {
    for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i) {
      for (const char mask : {'\x01', '\x80', '\xff'}) {
        damaged[i] = static_cast<char>(damaged[i] ^ mask);
        EXPECT_FALSE(EngineFile::parse(as_bytes(damaged)).ok()) << "byte " << i;
        damaged[i] = example.bytes[i];
      }
    }
  };
  flip_all(0, kHeaderPage.count);
  flip_all(header.metadata_offset, header.metadata_offset + header.metadata_size);
}

TEST(EngineFile, GivesBackTheGraphAndRefusesEveryFlippedByteOfIt) {
  const Example example;
  const EngineHeader header = example.header();
  const Result<EngineFile> file = EngineFile::open(example.path);
  ASSERT_TRUE(file.ok());
  EXPECT_EQ(*file->graph_text(), kGraph);
  const UniqueFd fd(::open(example.path.c_str(), O_WRONLY));
  for (int64_t i = header.metadata_offset + header.metadata_size; i < header.file_size; ++i) {
    const char sound = example.bytes[static_cast<size_t>(i)];
    for (const char mask : {'\x01', '\x80', '\xff'}) {
      const char flipped = static_cast<char>(sound ^ mask);
      ASSERT_EQ(::pwrite(fd.get(), &flipped, 1, i), 1);
      EXPECT_TRUE(EngineFile::open(example.path).ok()) << "the graph is read when it is asked for";
      EXPECT_EQ(file->graph_text().status().code(), Code::kCorrupt) << "byte " << i;
      EXPECT_EQ(file->verify().code(), Code::kCorrupt) << "byte " << i;
    }
    ASSERT_EQ(::pwrite(fd.get(), &sound, 1, i), 1);
  }
  EXPECT_TRUE(file->verify().ok());
}

TEST(EngineFile, HoldsAnEmptyGraphWhereNoneWasGiven) {
  const TemporaryFolder folder;
  ASSERT_TRUE(write_engine(folder.path() / "a", Plan{.backend = "test"}, {}, "").ok());
  const Result<EngineFile> file = EngineFile::open(folder.path() / "a");
  ASSERT_TRUE(file.ok()) << file.status().message();
  EXPECT_EQ(*file->graph_text(), "");
}

// As flips with right checksums: what the decoder itself must bear.
TEST(EngineFile, DecodesFlippedMetadataToAnErrorOrAGoodPlan) {
  const Example example;
  const EngineHeader header = example.header();
  std::vector<std::byte> metadata(
      as_bytes(example.bytes).begin() + header.metadata_offset,
      as_bytes(example.bytes).begin() + header.metadata_offset + header.metadata_size);
  size_t refused = 0;
  for (std::byte& byte : metadata) {
    const std::byte before = byte;
    for (const int mask : {0x01, 0x80, 0xff}) {
      byte = before ^ static_cast<std::byte>(mask);
      const Result<Metadata> decoded = decode_metadata(metadata);
      if (decoded.ok()) {
        EXPECT_TRUE(verify(decoded->plan).ok());
        EXPECT_FALSE(to_text(decoded->plan).empty());
        (void)groups_by_step(decoded->plan);
      } else {
        EXPECT_EQ(decoded.status().code(), Code::kCorrupt);
        ++refused;
      }
    }
    byte = before;
  }
  EXPECT_GT(refused, metadata.size() / 2);
}

TEST(EngineFile, FindsEveryFlippedByteOfWeightsAndPadding) {
  const Example example;
  const EngineHeader header = example.header();
  const Result<EngineFile> file = EngineFile::open(example.path);
  ASSERT_TRUE(file.ok());
  const UniqueFd fd(::open(example.path.c_str(), O_WRONLY));
  for (auto i = static_cast<size_t>(header.weights_offset); i < static_cast<size_t>(header.metadata_offset);
       i += 1 + i % 61) {
    const char flipped = static_cast<char>(example.bytes[i] ^ 0x10);
    ASSERT_EQ(::pwrite(fd.get(), &flipped, 1, static_cast<off_t>(i)), 1);
    const Status status = file->verify();
    EXPECT_EQ(status.code(), Code::kCorrupt) << "byte " << i;
    EXPECT_THAT(status.message(), HasSubstr("damaged"));
    ASSERT_EQ(::pwrite(fd.get(), &example.bytes[i], 1, static_cast<off_t>(i)), 1);
  }
  EXPECT_TRUE(file->verify().ok());
}

TEST(EngineFile, FindsWhatWasDamagedWhileItWasOpen) {
  const Example example;
  const EngineHeader header = example.header();
  const Result<EngineFile> file = EngineFile::open(example.path);
  ASSERT_TRUE(file.ok());
  const UniqueFd fd(::open(example.path.c_str(), O_WRONLY));
  for (const int64_t at : {int64_t{20}, int64_t{4000}, header.metadata_offset + 5,
                           header.metadata_offset + header.metadata_size - 1, header.file_size - 1}) {
    const char flipped = static_cast<char>(example.bytes[static_cast<size_t>(at)] ^ 0x40);
    ASSERT_EQ(::pwrite(fd.get(), &flipped, 1, at), 1);
    EXPECT_EQ(file->verify().code(), Code::kCorrupt) << at;
    ASSERT_EQ(::pwrite(fd.get(), &example.bytes[static_cast<size_t>(at)], 1, at), 1);
  }
}

TEST(EngineFile, RefusesEveryTruncationAndExtension) {
  const Example example;
  const EngineHeader header = example.header();
  std::vector<int64_t> sizes = {0, 1, 7, 8, 9, 87, 88, 89};
  std::vector<int64_t> edges = {kHeaderPage.count, header.metadata_offset,
                                header.metadata_offset + header.metadata_size, header.file_size};
  for (const WeightGroup& group : example.plan.groups) {
    edges.push_back(header.weights_offset + group.offset.count);
    edges.push_back(header.weights_offset + group.offset.count + group.size.count);
  }
  for (const int64_t edge : edges)
    for (const int64_t by : {-4096, -2, -1, 0, 1, 2, 4096}) sizes.push_back(edge + by);
  for (const int64_t size : sizes) {
    if (size < 0 || size == header.file_size) continue;
    std::string bytes = example.bytes;
    bytes.resize(static_cast<size_t>(size));
    EXPECT_EQ(EngineFile::parse(as_bytes(bytes)).status().code(), Code::kCorrupt) << size;
    overwrite(example.path, bytes);
    const Result<EngineFile> file = EngineFile::open(example.path);
    ASSERT_FALSE(file.ok()) << size;
    EXPECT_EQ(file.status().code(), Code::kCorrupt);
    EXPECT_THAT(file.status().message(), HasSubstr(example.path.string()));
  }
}

TEST(EngineFile, SaysToCompileAgainForAnotherFormatOrByteOrder) {
  const Example example;
  std::string bytes = example.bytes;
  bytes[8] = 1;
  Status status = EngineFile::parse(as_bytes(bytes)).status();
  EXPECT_EQ(status.code(), Code::kIncompatible);
  EXPECT_EQ(status.message(), "it has engine format 1, and this version of Headrace reads 2; compile again");
  bytes = example.bytes;
  std::reverse(bytes.begin() + 12, bytes.begin() + 16);
  status = EngineFile::parse(as_bytes(bytes)).status();
  EXPECT_EQ(status.code(), Code::kIncompatible);
  EXPECT_EQ(status.message(),
            "it was compiled on a machine of the other byte order; compile again on this one");
}

TEST(EngineFile, RefusesHeadersWhosePartsDoNotCoverTheFile) {
  const Example example;
  const EngineHeader good = example.header();
  const auto refused = [&](auto change) {
    EngineHeader header = good;
    change(header);
    header.header_checksum =
        checksum(std::as_bytes(std::span(&header, 1)).first(offsetof(EngineHeader, header_checksum)));
    std::string bytes = example.bytes;
    std::memcpy(bytes.data(), &header, sizeof(header));
    EXPECT_EQ(EngineFile::parse(as_bytes(bytes)).status().code(), Code::kCorrupt);
  };
  for (const int64_t value : {int64_t{0}, int64_t{-1}, int64_t{-4096}, INT64_MAX, INT64_MAX - 4095, INT64_MIN,
                              int64_t{1} << 62, int64_t{8192}}) {
    refused([&](EngineHeader& header) { header.file_size = value; });
    refused([&](EngineHeader& header) { header.weights_offset = value; });
    refused([&](EngineHeader& header) { header.weights_size = value; });
    refused([&](EngineHeader& header) { header.metadata_offset = value; });
    refused([&](EngineHeader& header) { header.metadata_size = value; });
    refused([&](EngineHeader& header) { header.graph_size = value; });
    refused([&](EngineHeader& header) {
      header.weights_size = value;
      header.metadata_offset = value;
    });
  }
  for (const int64_t by : {-8, 8}) {  // the edge between metadata and graph moves
    refused([&](EngineHeader& header) {
      header.metadata_size += by;
      header.graph_size -= by;
    });
  }
}

TEST(EngineFile, SurvivesBeingReplacedRemovedAndShrunkWhileOpen) {
  const Example example;
  const Result<EngineFile> file = EngineFile::open(example.path);
  ASSERT_TRUE(file.ok());
  RandomPlan other(7);
  const Plan plan = other.make();
  ASSERT_TRUE(write_engine(example.path, plan, other.weights()).ok());
  EXPECT_TRUE(file->verify().ok()) << "the old file lives on while it is open";
  std::filesystem::remove(example.path);
  EXPECT_TRUE(file->verify().ok());

  overwrite(example.path, example.bytes);
  const Result<EngineFile> shrunk = EngineFile::open(example.path);
  ASSERT_TRUE(shrunk.ok());
  std::filesystem::resize_file(example.path, 6000);
  EXPECT_EQ(shrunk->verify().code(), Code::kCorrupt);
  EXPECT_EQ(shrunk->graph_text().status().code(), Code::kCorrupt);
}

TEST(EngineFile, NamesTheFileThatIsMissingOrIsAFolder) {
  const TemporaryFolder folder;
  const Status missing = EngineFile::open(folder.path() / "no.engine").status();
  EXPECT_EQ(missing.code(), Code::kNotFound);
  EXPECT_THAT(missing.message(), HasSubstr("no.engine"));
  EXPECT_EQ(EngineFile::open(folder.path()).status().code(), Code::kInvalidArgument);
  overwrite(folder.path() / "text", "hello");
  const Status text = EngineFile::open(folder.path() / "text").status();
  EXPECT_EQ(text.code(), Code::kCorrupt);
  EXPECT_THAT(text.message(), HasSubstr("no engine file"));
}

TEST(EngineFile, StopsVerifyingWhenToldTo) {
  const Example example;
  const Result<EngineFile> file = EngineFile::open(example.path);
  ASSERT_TRUE(file.ok());
  Bytes last;
  EXPECT_TRUE(file->verify([&](Bytes done, Bytes total) {
                    EXPECT_GE(done, last);
                    EXPECT_EQ(total, file->size());
                    last = done;
                    return true;
                  })
                  .ok());
  EXPECT_EQ(last, file->size());
  EXPECT_EQ(file->verify([](Bytes, Bytes) { return false; }).code(), Code::kUnavailable);
}

}  // namespace
}  // namespace headrace
