#include "builder/repack.h"

#include <gmock/gmock.h>

#include "builder/builder.h"

namespace headrace {
namespace {

using ::testing::HasSubstr;

// A machine whose kernels want `extra` bytes behind every packed weight.
class TailPacker : public Packer {
 public:
  explicit TailPacker(int64_t extra) : extra_(extra) {}
  Result<Bytes> choose(RecipeStep& step) const override {
    if (extra_ < 0) return unsupported_here();
    step.attributes.set("tail", extra_);
    return packed_size(step);
  }
  Result<Bytes> packed_size(const RecipeStep& step) const override { return Bytes{step.shape[0] + extra_}; }
  Status pack(const RecipeStep&, std::span<const std::byte>, std::span<std::byte>) const override {
    return {};
  }

 private:
  static Status unsupported_here() { return Status(Code::kUnsupported, "no such layout"); }
  int64_t extra_;
};

// Three weights of bytes, the second and third packed for `packer`, and a step that reads them all.
Plan plan_for(const Packer& packer, std::string fingerprint) {
  Plan plan;
  plan.backend = "test";
  plan.fingerprint = std::move(fingerprint);
  Step step{"sum", "sum", {}, {}, {}};
  const int64_t sizes[] = {100'000, 200'000, 40'000};
  for (int i = 0; i < 3; ++i) {
    const Sizes shape = {sizes[i]};
    plan.sources.push_back({"s", "data/" + std::to_string(i), DType::kU8, shape, {1}, 0});
    Weight weight;
    weight.name = "w" + std::to_string(i);
    weight.dtype = DType::kU8;
    weight.shape = shape;
    weight.recipe = {{RecipeOp::kSource, {}, i, DType::kU8, shape, {}}};
    weight.stored = Bytes{sizes[i]};
    if (i > 0) {
      RecipeStep pack{RecipeOp::kPack, {0}, kNone, DType::kU8, shape, {{"layout", std::string("tail")}}};
      weight.stored = packer.choose(pack).value();
      weight.recipe.push_back(std::move(pack));
    }
    weight.resident = weight.stored;
    plan.buffers.push_back({BufferKind::kWeight, Dim(weight.resident.count), i, kNone, kNone});
    plan.tensors.push_back({DType::kU8, {Dim(weight.resident.count)}, {Dim(1)}, Dim(0), i});
    step.inputs.push_back(i);
    plan.weights.push_back(std::move(weight));
  }
  plan.steps = {std::move(step)};
  assign_groups(plan);
  return plan;
}

TEST(RepackPlan, GivesThePlanThatTheOtherMachineWouldHaveMade) {
  // The third weight crosses the limit below which weights are always resident.
  const TailPacker old_packer(7), new_packer(30'000);
  const Plan old = plan_for(old_packer, "old"), want = plan_for(new_packer, "new");
  ASSERT_TRUE(verify(old).ok()) << verify(old).message();
  const Result<Plan> got = repack_plan(old, new_packer, "new");
  ASSERT_TRUE(got.ok()) << got.status().message();
  EXPECT_TRUE(verify(*got).ok()) << verify(*got).message();
  EXPECT_TRUE(*got == want) << to_text(*got) << to_text(want);
  EXPECT_NE(old.groups.size(), want.groups.size());
  const Result<Plan> back = repack_plan(*got, old_packer, "old");
  ASSERT_TRUE(back.ok());
  EXPECT_TRUE(*back == old);
}

TEST(RepackPlan, RefusesAWeightThatCannotBeMadeAgain) {
  const TailPacker packer(7);
  Plan plan = plan_for(packer, "old");
  plan.weights[0].recipe.clear();
  const Status status = repack_plan(plan, packer, "new").status();
  EXPECT_EQ(status.code(), Code::kIncompatible);
  EXPECT_THAT(status.message(), HasSubstr("weight 'w0' has no recipe"));
}

TEST(RepackPlan, RefusesAStepThatTakesAPartOfAPackedWeight) {
  const TailPacker packer(7);
  Plan plan = plan_for(packer, "old");
  plan.tensors[1].shape = {Dim(100)};
  const Status status = repack_plan(plan, packer, "new").status();
  EXPECT_EQ(status.code(), Code::kIncompatible);
  EXPECT_THAT(status.message(), HasSubstr("weight 'w1' is packed, and a step takes a part"));
}

TEST(RepackPlan, NamesTheWeightThatHasNoLayoutHere) {
  const Status status = repack_plan(plan_for(TailPacker(7), "old"), TailPacker(-1), "new").status();
  EXPECT_EQ(status.message(), "weight 'w1': no such layout");
}

}  // namespace
}  // namespace headrace
