// From an export to results, through the public API alone: every supported fixture compiles, and runs the
// same under any weight budget.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <filesystem>

#include <headrace/headrace.h>

namespace headrace {
namespace {

namespace fs = std::filesystem;

const fs::path kFixtures = fs::path(HEADRACE_SOURCE_DIR) / "tests/fixtures/pt2/2.15.0";

class EndToEnd : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / ("headrace_end_to_end_" + std::to_string(::getpid()));
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }
  Result<Engine> compiled(const std::string& fixture) {
    return compile(kFixtures / (fixture + ".pt2"), folder_ / (fixture + ".engine"), {.device = GetParam()});
  }
  fs::path folder_;
};

// An input of the engine at its profile's opt sizes, filled with small numbers.
Tensor example(const PortInfo& port, const Engine& engine) {
  std::vector<int64_t> shape;
  for (const std::string& size : port.shape) {
    int64_t value = 0;
    for (const ProfileRange& range : engine.profile()) {
      if (range.name == size) value = range.opt;
    }
    shape.push_back(value > 0 ? value : std::stoll(size));
  }
  Tensor tensor = Tensor::make(port.dtype, shape).value();
  for (int64_t i = 0; port.dtype == DType::kF32 && i < tensor.elements(); ++i) {
    tensor.as<float>()[i] = static_cast<float>(i % 7) - 3.0f;
  }
  return tensor;
}

std::vector<Tensor> examples(const Engine& engine) {
  std::vector<Tensor> inputs;
  for (const PortInfo& port : engine.inputs())
    inputs.push_back(port.is_tensor ? example(port, engine) : Tensor());
  return inputs;
}

TEST_P(EndToEnd, ResultsDoNotDependOnTheWeightBudget) {
  for (const char* fixture :
       {"mlp", "mlp_raw", "mlp_dynamic", "mlp_dynamic_raw", "tied_weights", "strided_weights"}) {
    Result<Engine> engine = compiled(fixture);
    ASSERT_TRUE(engine.ok()) << fixture << ": " << engine.status().message();
    Context context = engine->context({.threads = 1}).value();
    const std::vector<Tensor> inputs = examples(*engine);
    ASSERT_TRUE(context.set_weight_budget(engine->streamable()).ok());
    const std::vector<Tensor> resident = context.run(inputs).value();
    for (int64_t share : {0, 1, 2}) {
      const Bytes budget{engine->streamable().count * share / 3};
      ASSERT_TRUE(context.set_weight_budget(budget).ok());
      const std::vector<Tensor> streamed = context.run(inputs).value();
      EXPECT_LE(context.memory().resident, budget);
      for (size_t i = 0; i < resident.size(); ++i) {
        ASSERT_EQ(streamed[i].size(), resident[i].size());
        EXPECT_EQ(0, std::memcmp(streamed[i].data(), resident[i].data(),
                                 static_cast<size_t>(resident[i].size().count)))
            << fixture << ", budget " << budget.count;
      }
    }
  }
}

TEST_P(EndToEnd, EnginesInAPoolHoldAsMuchAsTheOneThatNeedsMost) {
  Pool pool;
  EXPECT_EQ(pool.arena() + pool.scratch(), Bytes{});
  Bytes arena, scratch;
  std::vector<Context> contexts;
  for (const char* fixture : {"mlp", "tied_weights"}) {
    const Engine engine = compiled(fixture).value();
    const std::vector<Tensor> inputs = examples(engine);
    Context alone = engine.context({.threads = 1}).value();
    contexts.push_back(engine.context({.threads = 1, .pool = pool}).value());
    ASSERT_TRUE(alone.set_weight_budget(Bytes{0}).ok());
    const std::vector<Tensor> want = alone.run(inputs).value();
    for (int run = 0; run < 2; ++run) {
      const std::vector<Tensor> got = contexts.back().run(inputs).value();
      for (size_t i = 0; i < want.size(); ++i) {
        EXPECT_EQ(0, std::memcmp(got[i].data(), want[i].data(), static_cast<size_t>(want[i].size().count)));
      }
    }
    arena = std::max(arena, alone.memory().arena);
    scratch = std::max(scratch, alone.memory().scratch);
  }
  EXPECT_EQ(pool.arena(), arena);
  EXPECT_EQ(pool.scratch(), scratch);
  contexts.clear();
  EXPECT_EQ(pool.arena() + pool.scratch(), Bytes{});
}

TEST_P(EndToEnd, TheSameExportGivesTheSameBytes) {
  const auto read = [](const fs::path& path) {
    std::FILE* file = std::fopen(path.c_str(), "rb");
    std::string bytes(fs::file_size(path), '\0');
    EXPECT_EQ(std::fread(bytes.data(), 1, bytes.size(), file), bytes.size());
    std::fclose(file);
    return bytes;
  };
  ASSERT_TRUE(compiled("mlp").ok());
  const std::string first = read(folder_ / "mlp.engine");
  ASSERT_TRUE(compiled("mlp").ok());
  EXPECT_EQ(read(folder_ / "mlp.engine"), first);
  EXPECT_TRUE(verify_engine(folder_ / "mlp.engine").ok());
}

TEST_P(EndToEnd, BadCallsSayWhatWasAskedAndFound) {
  const Engine engine = compiled("mlp").value();
  Context context = engine.context().value();
  const PortInfo port = engine.inputs().at(0);
  EXPECT_EQ(context.run(std::vector<Tensor>{}).status().code(), Code::kInvalidArgument);
  const Tensor wrong_dtype = Tensor::make(DType::kI64, {1, 1}).value();
  const Status status = context.run({wrong_dtype}).status();
  EXPECT_EQ(status.code(), Code::kInvalidArgument);
  EXPECT_NE(status.message().find("'" + port.name + "'"), std::string::npos) << status.message();
  EXPECT_EQ(context.run({NamedTensor{"nothing", wrong_dtype}}).status().message(),
            "the engine has no input 'nothing'; it has " + port.name);
  EXPECT_EQ(context.set_weight_budget(Bytes{-1}).code(), Code::kInvalidArgument);
  EXPECT_TRUE(context.run(examples(engine)).ok());
}

TEST_P(EndToEnd, WhatCannotBeCompiledLeavesNoFile) {
  for (const char* fixture : {"fft", "pickled_weight", "complex_weight", "key_value_cache"}) {
    const Result<Engine> engine = compiled(fixture);
    EXPECT_EQ(engine.status().code(), Code::kUnsupported) << fixture << ": " << engine.status().message();
    EXPECT_FALSE(fs::exists(folder_ / (std::string(fixture) + ".engine"))) << fixture;
  }
}

TEST(Compile, AnUnknownDeviceIsRefusedWithTheKnownOnes) {
  const Status status = compile(kFixtures / "mlp.pt2", "/nowhere/x.engine", {.device = "tpu"}).status();
  EXPECT_EQ(status.code(), Code::kInvalidArgument);
  EXPECT_NE(status.message().find("there is no device 'tpu' in this build; it has "), std::string::npos);
}

std::vector<std::string> devices() {
#ifdef HEADRACE_TEST_CPU
  return {"reference", "cpu"};
#else
  return {"reference"};
#endif
}
INSTANTIATE_TEST_SUITE_P(Devices, EndToEnd, ::testing::ValuesIn(devices()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace headrace
