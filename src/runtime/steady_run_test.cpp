// A run whose shapes are known, into tensors of the caller's, allocates nothing: counted by replacing the
// program's operator new.
#include <gtest/gtest.h>

#include <cstdlib>
#include <new>

#include "device/fake/fake_device.h"
#include "runtime/testing.h"

namespace {

thread_local int64_t news = 0;

void* counted(std::size_t size) {
  ++news;
  void* memory = std::malloc(size ? size : 1);
  if (!memory) std::abort();
  return memory;
}

}  // namespace

void* operator new(std::size_t size) { return counted(size); }
void* operator new[](std::size_t size) { return counted(size); }
void* operator new(std::size_t size, const std::nothrow_t&) noexcept { return counted(size); }
void* operator new[](std::size_t size, const std::nothrow_t&) noexcept { return counted(size); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }

namespace headrace::runtime {
namespace {

using testing::PlanMaker;
using testing::random_tensor;
using testing::TestFile;

// Copies its input to its output: kernels of the other tests allocate, this one must not.
class CopyPrepared : public Prepared {
 public:
  explicit CopyPrepared(std::shared_ptr<const Plan> plan, const DimBindings& dims) : plan_(std::move(plan)) {
    for (const Step& step : plan_->steps) {
      const auto buffer = [&](TensorIndex tensor) {
        return static_cast<size_t>(plan_->tensors[static_cast<size_t>(tensor)].buffer);
      };
      const int64_t size = plan_->buffers[buffer(step.outputs[0])].size.evaluate(dims).value();
      copies_.push_back({buffer(step.inputs[0]), buffer(step.outputs[0]), static_cast<size_t>(size)});
    }
  }
  Bytes workspace(StepIndex) const override { return {100}; }
  Status enqueue(StepIndex step, const Addresses& at, Queue&) const override {
    const Copy& copy = copies_[static_cast<size_t>(step)];
    std::memcpy(at.buffers[copy.to], at.buffers[copy.from], copy.size);
    return {};
  }

 private:
  struct Copy {
    size_t from, to, size;
  };
  std::shared_ptr<const Plan> plan_;
  std::vector<Copy> copies_;
};

class CopyKernels : public Kernels {
 public:
  Result<std::unique_ptr<Executable>> load(std::shared_ptr<const Plan> plan) override {
    class Copies : public Executable {
     public:
      explicit Copies(std::shared_ptr<const Plan> plan) : plan_(std::move(plan)) {}
      Result<std::shared_ptr<const Prepared>> prepare(const DimBindings& dims, int) override {
        return std::shared_ptr<const Prepared>(std::make_shared<CopyPrepared>(plan_, dims));
      }

     private:
      std::shared_ptr<const Plan> plan_;
    };
    return std::unique_ptr<Executable>(std::make_unique<Copies>(std::move(plan)));
  }
};

TEST(SteadyRun, AllocatesNothing) {
  PlanMaker maker;
  const int32_t weight = maker.add_group({100000});
  for (int i = 0; i < 5; ++i) maker.add_step({weight});
  maker.add_output();
  const TestFile file(maker.plan);
  std::shared_ptr<Device> device = std::make_shared<fake::FakeDevice>();
  auto engine = file.open(device, {.weight_budget = gib(1)}, std::make_unique<CopyKernels>());
  ASSERT_TRUE(engine.ok()) << engine.status().message();
  auto context = (*engine)->make_context();
  ASSERT_TRUE(context.ok());
  const std::vector<Tensor> small = {random_tensor({2, 8}, 1)}, large = {random_tensor({9, 8}, 2)};
  const std::vector<Tensor> small_out = {random_tensor({2, 8}, 3)}, large_out = {random_tensor({9, 8}, 4)};
  ASSERT_TRUE((*context)->run_into(small, small_out).ok());
  ASSERT_TRUE((*context)->run_into(large, large_out).ok());
  const Bytes used = device->used();
  const int64_t before = news;
  for (int i = 0; i < 10; ++i) {
    ASSERT_TRUE((*context)->run_into(small, small_out).ok());
    ASSERT_TRUE((*context)->run_into(large, large_out).ok());
  }
  EXPECT_EQ(news, before);
  EXPECT_EQ(device->used(), used);
  EXPECT_TRUE(testing::same_bits(small[0], small_out[0]));
  EXPECT_TRUE(testing::same_bits(large[0], large_out[0]));
}

}  // namespace
}  // namespace headrace::runtime
