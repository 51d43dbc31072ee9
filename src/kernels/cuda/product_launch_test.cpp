#include "kernels/cuda/product_launch.h"

#include <gtest/gtest.h>

#include "kernels/cuda/product_step.h"

namespace headrace::cuda {
namespace {

AttributeMap described(const Sizes& tile, bool mapped) {
  AttributeMap attributes;
  attributes.set(kTile, tile);
  if (mapped) attributes.set(kMapped, true);
  return attributes;
}

TEST(ProductTile, TakesOnlyWhatDescribesALaunch) {
  const auto tile = product_tile(described({128, 192, 384, 1, 205824}, true));
  ASSERT_TRUE(tile.has_value());
  EXPECT_EQ(tile->columns, 192);
  EXPECT_TRUE(tile->mapped);
  EXPECT_FALSE(product_tile(described({128, 192, 384, 1, 205824}, false))->mapped);
  EXPECT_FALSE(product_tile(described({128, 192, 384, 1}, true)));          // a size is missing
  EXPECT_FALSE(product_tile(described({512, 192, 384, 1, 205824}, true)));  // a box has at most 256 rows
  EXPECT_FALSE(product_tile(described({128, 72, 384, 1, 205824}, true)));   // groups of 32 columns
  EXPECT_FALSE(product_tile(described({128, 192, 384, 2, 205824}, true)));  // tiles are not shared
}

// The form of y[rows, columns] = a[rows, depth] b[columns, depth]'.
MatmulForm product(int64_t rows, int64_t columns, int64_t depth) {
  const auto tensor = [](Sizes shape, Sizes strides) {
    StepTensor made;
    made.dtype = DType::kF16;
    made.shape = std::move(shape);
    made.strides = std::move(strides);
    return made;
  };
  MatmulForm form;
  form.dtype = DType::kF16;
  form.m = rows;
  form.k = depth;
  form.n = columns;
  form.a = tensor({rows, depth}, {depth, 1});
  form.b = tensor({depth, columns}, {1, depth});
  form.out = tensor({rows, columns}, {columns, 1});
  return form;
}

TEST(PlanProduct, DescribesTheBoxesOfMappedTiles) {
  const ProductTile tile{128, 192, 384, 1, 205824, true};
  const auto launch = plan_product(product(300, 320, 200), tile, 32, 132);
  ASSERT_TRUE(launch.has_value());
  EXPECT_EQ(launch->blocks, 3u * 2u);
  EXPECT_EQ(plan_product(product(300, 320, 200), tile, 32, 4)->blocks, 4u);  // which walk the tiles
  const BoxedTensor &a = launch->boxes[0], &b = launch->boxes[1];
  EXPECT_EQ(a.sizes, (std::array<int64_t, 5>{200, 300}));
  EXPECT_EQ(a.strides, (std::array<int64_t, 5>{2, 400}));
  EXPECT_EQ(a.box, (std::array<int64_t, 5>{64, 128}));
  EXPECT_EQ(b.sizes, (std::array<int64_t, 5>{200, 2, 4, 4, 10}));
  EXPECT_EQ(b.strides, (std::array<int64_t, 5>{2, 400, 3200, 800, 12800}));
  EXPECT_EQ(b.box, (std::array<int64_t, 5>{64, 2, 4, 4, 6}));
}

TEST(PlanProduct, LeavesToOthersWhatBoxesCannotTake) {
  const ProductTile mapped{128, 192, 384, 1, 205824, true}, plain{32, 32, 128, 1, 65536, false};
  EXPECT_FALSE(plan_product(product(300, 328, 200), mapped, 32, 132));  // no whole groups of columns
  EXPECT_TRUE(plan_product(product(300, 328, 200), plain, 32, 132));
  EXPECT_FALSE(plan_product(product(300, 320, 204), mapped, 32, 132));  // rows not on 16 bytes
}

}  // namespace
}  // namespace headrace::cuda
