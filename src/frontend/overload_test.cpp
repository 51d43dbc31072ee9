#include "frontend/overload.h"

#include <gmock/gmock.h>

#include <algorithm>

#include "frontend/frontend.h"

namespace headrace::frontend {
namespace {

using testing::Contains;

TEST(OverloadTable, HasEachOverloadOnce) {
  std::vector<std::string> names = supported_overloads();
  EXPECT_GT(names.size(), 350U);
  EXPECT_EQ(std::adjacent_find(names.begin(), names.end()), names.end());
}

TEST(OverloadTable, EveryRowsSchemaIsRead) {
  size_t rows = 0;
  for (const auto family : {unary_overloads, binary_overloads, activation_overloads, norm_overloads}) {
    for (const Overload& overload : family()) {
      const Result<Schema> schema = parse_schema(overload.schema);
      ASSERT_TRUE(schema.ok()) << overload.schema;
      const TableRow* row = find_overload(schema->target);
      ASSERT_NE(row, nullptr) << overload.schema;
      EXPECT_EQ(row->overload, &overload) << overload.schema;
      ++rows;
    }
  }
  EXPECT_GT(rows, 100U);
}

TEST(OverloadTable, FindsWholeTargetsOnly) {
  EXPECT_NE(find_overload("aten.add.Tensor"), nullptr);
  EXPECT_NE(find_overload("aten.relu.default"), nullptr);
  EXPECT_EQ(find_overload("aten.relu"), nullptr);
  EXPECT_EQ(find_overload("aten.add_.Tensor"), nullptr);
  EXPECT_EQ(find_overload(""), nullptr);
}

TEST(OverloadTable, ListsShapeArithmeticToo) {
  EXPECT_THAT(supported_overloads(), Contains("aten.sym_size.int"));
  EXPECT_TRUE(is_shape_arithmetic("_operator.mul"));
  EXPECT_FALSE(is_shape_arithmetic("aten.mul.Tensor"));
}

using Type = SchemaArgument::Type;

TEST(Schemas, TypesDefaultsAndAliasingAreRead) {
  const Schema schema =
      parse_schema(
          "op.name(Tensor(a) self, Tensor?[] list, int[2] k=1, *, float eps=1e-05, str m=\"a, b\", "
          "ScalarType? dtype=None) -> Tensor(a)")
          .value();
  EXPECT_EQ(schema.target, "aten.op.name");
  EXPECT_TRUE(schema.returns_view);
  ASSERT_EQ(schema.arguments.size(), 6U);
  EXPECT_TRUE(schema.arguments[0].aliased);
  EXPECT_EQ(schema.arguments[1].type, Type::kTensors);
  EXPECT_EQ(schema.arguments[2].type, Type::kInts);
  EXPECT_EQ(schema.arguments[2].length, 2);
  EXPECT_EQ(std::get<double>(*schema.arguments[3].fallback), 1e-05);
  EXPECT_EQ(std::get<std::string>(*schema.arguments[4].fallback), "a, b");
  EXPECT_TRUE(schema.arguments[5].optional);
}

TEST(Schemas, NumbersTakeTheDeclaredForm) {
  const Schema schema =
      parse_schema("op(int[2] k, float eps, SymInt[] size, bool on, int n) -> Tensor").value();
  Call call;
  call.arguments = {
      {"k", Dim(3)}, {"eps", Dim(2)}, {"size", std::vector<double>()}, {"on", Dim(1)}, {"n", true}};
  const std::vector<CallArgument> bound = bind_arguments(schema, call).value();
  EXPECT_EQ(std::get<std::vector<Dim>>(bound[0]), (std::vector<Dim>{3, 3}));
  EXPECT_EQ(std::get<double>(bound[1]), 2.0);
  EXPECT_TRUE(std::get<std::vector<Dim>>(bound[2]).empty()) << "an empty list may have any list's tag";
  EXPECT_TRUE(std::get<bool>(bound[3]));
  EXPECT_EQ(std::get<Dim>(bound[4]), Dim(1));
}

TEST(Schemas, WhatDoesNotFitIsNamed) {
  const Schema schema = parse_schema("op(Tensor self, float eps) -> Tensor").value();
  Call call;
  call.arguments = {{"self", std::string("x")}, {"eps", 1.0}};
  EXPECT_EQ(bind_arguments(schema, call).status().message(), "its argument 'self' should be a tensor");
  call.arguments = {{"self", 1.0}};
  EXPECT_EQ(bind_arguments(schema, call).status().message(), "its argument 'eps' is missing");
  call.arguments = {{"self", 1.0}, {"eps", Dim::symbol("s0")}};
  EXPECT_EQ(bind_arguments(schema, call).status().message(), "its argument 'eps' should be a float");
}

}  // namespace
}  // namespace headrace::frontend
