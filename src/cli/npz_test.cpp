#include "cli/npz.h"

#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>
#include <zlib.h>

#include <cstring>
#include <fstream>
#include <numeric>

#include "cli/npy.h"
#include "core/file.h"
#include "core/half.h"

namespace headrace::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class Npz : public ::testing::Test {
 protected:
  void SetUp() override {
    path_ =
        std::filesystem::path(::testing::TempDir()) /
        fmt::format("{}-{}.npz", ::testing::UnitTest::GetInstance()->current_test_info()->name(), getpid());
  }
  void TearDown() override { std::filesystem::remove(path_); }
  void write_bytes(std::string_view bytes) { std::ofstream(path_, std::ios::binary) << bytes; }

  std::filesystem::path path_;
};

Tensor counted(DType dtype, std::vector<int64_t> shape) {
  Tensor tensor = Tensor::make(dtype, std::move(shape)).value();
  for (int64_t i = 0; i < tensor.size().count; ++i) tensor.as<uint8_t>()[i] = static_cast<uint8_t>(i % 2);
  return tensor;
}

TEST_F(Npz, GivesBackWhatWasWrittenInEveryDtype) {
  std::vector<NamedTensor> arrays;
  for (const DType dtype : {DType::kBool, DType::kU8, DType::kI8, DType::kI16, DType::kI32, DType::kI64,
                            DType::kF16, DType::kF32, DType::kF64}) {
    arrays.push_back({std::string(dtype_name(dtype)), counted(dtype, {3, 5})});
  }
  arrays.push_back({"scalar", counted(DType::kF32, {})});
  arrays.push_back({"empty", counted(DType::kI64, {4, 0})});
  arrays.push_back({"line", counted(DType::kI64, {7})});
  ASSERT_TRUE(write_npz(path_, arrays).ok());
  const auto read = read_npz(path_);
  ASSERT_TRUE(read.ok()) << read.status().message();
  ASSERT_EQ(read->size(), arrays.size());
  for (size_t i = 0; i < arrays.size(); ++i) {
    const Tensor &wrote = arrays[i].tensor, &got = (*read)[i].tensor;
    EXPECT_EQ((*read)[i].name, arrays[i].name);
    EXPECT_EQ(got.dtype(), wrote.dtype());
    EXPECT_EQ(got.shape(), wrote.shape());
    EXPECT_EQ(std::memcmp(got.data(), wrote.data(), static_cast<size_t>(wrote.size().count)), 0);
  }
}

TEST_F(Npz, WritesBf16AsF32AndStridedTensorsRowMajor) {
  Tensor half = Tensor::make(DType::kBF16, {2}).value();
  half.as<uint16_t>()[0] = float_to_bf16(1.5f), half.as<uint16_t>()[1] = float_to_bf16(-2.0f);
  int32_t values[] = {1, 2, 3, 4, 5, 6};
  const Tensor turned = Tensor::borrow(values, DType::kI32, {3, 2}, {1, 3});
  ASSERT_TRUE(write_npz(path_, std::vector<NamedTensor>{{"half", half}, {"turned", turned}}).ok());
  const auto read = read_npz(path_).value();
  EXPECT_EQ(read[0].tensor.dtype(), DType::kF32);
  EXPECT_THAT(std::span(read[0].tensor.as<float>(), 2), ElementsAre(1.5f, -2.0f));
  EXPECT_THAT(std::span(read[1].tensor.as<int32_t>(), 6), ElementsAre(1, 4, 2, 5, 3, 6));
}

TEST_F(Npz, EveryFlippedByteOfTheElementsIsNoticed) {
  ASSERT_TRUE(write_npz(path_, std::vector<NamedTensor>{{"x", counted(DType::kF32, {8})}}).ok());
  const std::string sound = read_text_file(path_).value();
  const size_t begin = sound.find("\x93NUMPY");
  for (size_t at = begin; at < begin + 128 + 32; ++at) {
    std::string bytes = sound;
    bytes[at] = static_cast<char>(bytes[at] ^ 0x10);
    write_bytes(bytes);
    EXPECT_EQ(read_npz(path_).status().code(), Code::kCorrupt) << at;
  }
}

TEST_F(Npz, NoTruncationIsReadAsAWholeFile) {
  ASSERT_TRUE(write_npz(path_, std::vector<NamedTensor>{{"x", counted(DType::kF32, {8})}}).ok());
  const std::string sound = read_text_file(path_).value();
  for (size_t size = 0; size < sound.size(); ++size) {
    write_bytes(std::string_view(sound).substr(0, size));
    EXPECT_EQ(read_npz(path_).status().code(), Code::kCorrupt) << size;
  }
}

TEST_F(Npz, AnyFlippedByteOfTheDirectoryGivesAnErrorOrTheSameElements) {
  const Tensor x = counted(DType::kF32, {8});
  ASSERT_TRUE(write_npz(path_, std::vector<NamedTensor>{{"x", x}}).ok());
  const std::string sound = read_text_file(path_).value();
  for (size_t at = 0; at < sound.size(); ++at) {
    std::string bytes = sound;
    bytes[at] = static_cast<char>(bytes[at] ^ 0xff);
    write_bytes(bytes);
    const auto read = read_npz(path_);
    if (!read.ok() || read->empty()) continue;
    ASSERT_EQ((*read)[0].tensor.size().count, x.size().count);
    EXPECT_EQ(std::memcmp((*read)[0].tensor.data(), x.data(), 32), 0) << at;
  }
}

TEST_F(Npz, AMissingFileIsNotFound) {
  EXPECT_EQ(read_npz(path_ / "nothing.npz").status().code(), Code::kNotFound);
}

// An .npy of version 1 with this dictionary and these elements.
Tensor npy(std::string_view dictionary, std::string_view elements, char version = 1) {
  std::string bytes = "\x93NUMPY";
  bytes += {version, '\0', static_cast<char>(dictionary.size()), '\0'};
  if (version > 1) bytes += {'\0', '\0'};
  bytes += dictionary;
  bytes += elements;
  Tensor storage = Tensor::make(DType::kU8, {static_cast<int64_t>(bytes.size())}).value();
  std::memcpy(storage.data(), bytes.data(), bytes.size());
  return storage;
}

TEST(Npy, ReadsFortranOrderAsStrides) {
  const char elements[] = {1, 2, 3, 4, 5, 6};
  for (const char version : {1, 2, 3}) {
    const auto array = parse_npy(npy("{'descr': '|u1', 'fortran_order': True, 'shape': (2, 3), }",
                                     std::string_view(elements, 6), version),
                                 "x");
    ASSERT_TRUE(array.ok()) << array.status().message();
    EXPECT_THAT(array->shape(), ElementsAre(2, 3));
    EXPECT_THAT(array->strides(), ElementsAre(1, 2));
    EXPECT_EQ(array->as<uint8_t>()[5], 6);
  }
}

TEST(Npy, TakesTwoByteWordsAsBf16) {
  for (const char* descr : {"<u2", "|V2"}) {
    const auto array = parse_npy(
        npy(std::string("{'descr': '") + descr + "', 'fortran_order': False, 'shape': (1,)}", "\x80\x3f"),
        "x");
    ASSERT_TRUE(array.ok()) << array.status().message();
    EXPECT_EQ(array->dtype(), DType::kBF16);
    EXPECT_EQ(bf16_to_float(array->as<uint16_t>()[0]), 1.0f);
  }
}

TEST(Npy, NormalisesBools) {
  const auto array =
      parse_npy(npy("{'descr': '|b1', 'fortran_order': False, 'shape': (2,)}", "\x07\x01"), "x");
  EXPECT_THAT(std::span(array.value().as<uint8_t>(), 2), ElementsAre(1, 1));
}

struct BadHeader {
  const char* dictionary;
  Code code;
  const char* message;
};
constexpr BadHeader kBadHeaders[] = {
    {"", Code::kCorrupt, "malformed"},
    {"{'descr': '<f4', 'fortran_order': False}", Code::kCorrupt, "malformed"},
    {"{'descr': '<f4', 'fortran_order': Maybe, 'shape': ()}", Code::kCorrupt, "malformed"},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}", Code::kCorrupt, "malformed"},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (3", Code::kCorrupt, "malformed"},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (9223372036854775807, 9)}", Code::kCorrupt,
     "overflow"},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (3,)}", Code::kCorrupt, "asks for 12 bytes"},
    {"{'descr': '>f4', 'fortran_order': False, 'shape': (1,)}", Code::kUnsupported, "big-endian"},
    {"{'descr': '<c8', 'fortran_order': False, 'shape': (1,)}", Code::kUnsupported, "'<c8'"},
    {"{'descr': '|O', 'fortran_order': False, 'shape': (1,)}", Code::kUnsupported, "'|O'"},
    {"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,)}", Code::kUnsupported, "records"},
};

TEST(Npy, EveryBadHeaderGetsATypedErrorThatNamesTheArray) {
  for (const BadHeader& bad : kBadHeaders) {
    const auto array = parse_npy(npy(bad.dictionary, std::string_view("\0\0\0\0", 4)), "'x' in 'in.npz'");
    EXPECT_EQ(array.status().code(), bad.code) << bad.dictionary;
    EXPECT_THAT(array.status().message(), HasSubstr(bad.message));
    EXPECT_THAT(array.status().message(), HasSubstr("'x' in 'in.npz'"));
  }
}

}  // namespace
}  // namespace headrace::cli
