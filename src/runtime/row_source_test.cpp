#include "runtime/row_source.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <numeric>
#include <random>

#include "core/unique_fd.h"
#include "device/fake/fake_device.h"

namespace headrace::runtime {
namespace {

Weight rows_weight(int64_t rows, int64_t columns) {
  Weight weight;
  weight.name = "embedding";
  weight.dtype = DType::kF32;
  weight.use = WeightUse::kRows;
  weight.shape = {rows, columns};
  weight.stored = weight.resident = {rows * columns * 4};
  return weight;
}

struct RowFile {
  RowFile(int64_t rows, int64_t columns) : values(static_cast<size_t>(rows * columns)) {
    std::iota(values.begin(), values.end(), 0.0f);
    char name[] = "row_test_XXXXXX";
    fd.reset(mkstemp(name));
    unlink(name);
    EXPECT_GT(pwrite(fd.get(), values.data(), values.size() * 4, 8192), 0);
  }
  std::vector<float> values;
  UniqueFd fd;
};

TEST(Rows, FromTheFileAreThoseInMemory) {
  for (const auto& [rows, columns] :
       std::vector<std::pair<int64_t, int64_t>>{{1000, 7}, {64, 3000}, {3, 1}}) {
    const Weight weight = rows_weight(rows, columns);
    const RowFile file(rows, columns);
    fake::FakeDevice device;
    auto reader = device.open_reader(file.fd.get(), "x.engine");
    auto buffer = device.allocate(row_buffer_size(weight), "rows");
    ASSERT_TRUE(reader.ok() && buffer.ok());
    FileRows from_file(weight, {8192}, **reader, {buffer->data(), static_cast<size_t>(buffer->size().count)});
    MemoryRows from_memory(weight, reinterpret_cast<const std::byte*>(file.values.data()));
    std::mt19937_64 random(7);
    for (const size_t count : {0, 1, 5, 700}) {
      std::vector<int64_t> indices(count);
      for (int64_t& index : indices) index = static_cast<int64_t>(random() % static_cast<uint64_t>(rows));
      std::vector<std::byte> got(count * static_cast<size_t>(columns) * 4), want(got.size());
      ASSERT_TRUE(from_file.gather(indices, got.data()).ok());
      ASSERT_TRUE(from_memory.gather(indices, want.data()).ok());
      EXPECT_EQ(got, want) << rows << " x " << columns << ", " << count;
    }
  }
}

TEST(Rows, AreReadOnceHoweverOftenTheyAreNamed) {
  const Weight weight = rows_weight(10000, 1024);
  const RowFile file(10000, 1024);
  fake::FakeDevice device;
  auto reader = device.open_reader(file.fd.get(), "x.engine");
  auto buffer = device.allocate(row_buffer_size(weight), "rows");
  FileRows rows(weight, {8192}, **reader, {buffer->data(), static_cast<size_t>(buffer->size().count)});
  std::vector<float> out(6 * 1024);
  ASSERT_TRUE(
      rows.gather(std::vector<int64_t>{5, 9000, 5, 6, 5, 9000}, reinterpret_cast<std::byte*>(out.data()))
          .ok());
  EXPECT_EQ(device.reads(), 2);  // 5 and 6 are neighbours
  EXPECT_EQ(rows.statistics().read, kib(12));
  EXPECT_EQ(out[3 * 1024], 6 * 1024.0f);
}

TEST(Rows, NameTheWeightWhenAReadFailsAndWorkAgain) {
  const Weight weight = rows_weight(1000, 1024);
  const RowFile file(1000, 1024);
  fake::FakeDevice device;
  auto reader = device.open_reader(file.fd.get(), "x.engine");
  auto buffer = device.allocate(row_buffer_size(weight), "rows");
  FileRows rows(weight, {8192}, **reader, {buffer->data(), static_cast<size_t>(buffer->size().count)});
  std::vector<std::byte> out(4096 * 2);
  device.fail_read(1);
  const std::vector<int64_t> indices = {1, 500};
  EXPECT_EQ(rows.gather(indices, out.data()).message(),
            "weight 'embedding': read 'x.engine': the fake device failed");
  EXPECT_TRUE(rows.gather(indices, out.data()).ok());
  EXPECT_EQ(rows.gather(std::vector<int64_t>{1000}, out.data()).code(), Code::kInvalidArgument);
}

}  // namespace
}  // namespace headrace::runtime
