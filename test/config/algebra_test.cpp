#include "qnative/algebra.h"

#include <gtest/gtest.h>

#include "config_testing.h"
#include "qnative/backends.h"

namespace qnative {
namespace {

using Ops = BackendPatternConfig::Ops;
using Config = c10::intrusive_ptr<BackendConfig>;

Config config(const std::string& name, const std::vector<PatternConfigPtr>& rows) {
  auto result = c10::make_intrusive<BackendConfig>(name);
  result->set_backend_pattern_configs(rows);
  return result;
}

PatternConfigPtr row(const Pattern& pattern, const std::vector<DTypePtr>& dtypes, Ops ops = {}) {
  auto result = c10::make_intrusive<BackendPatternConfig>(pattern);
  for (const auto& dtype : dtypes) result->add_dtype_config(dtype);
  result->set_ops(std::move(ops));
  return result;
}

DTypePtr int8() { return c10::make_intrusive<DTypeConfig>(at::kQUInt8, at::kQUInt8); }
DTypePtr half() { return c10::make_intrusive<DTypeConfig>(at::kHalf, at::kHalf); }

TEST(Algebra, UniteAppends) {
  const auto a = config("a", {row("x", {int8()}, {"f"}), row("y", {})});
  const auto b = config("b", {row("z", {}), row("x", {half(), int8()}, {"g", "f"})});
  const auto united = unite(*a, *b);
  EXPECT_EQ(united->name(), "a | b");
  ASSERT_EQ(united->entries().size(), 3U);
  EXPECT_EQ(united->entries()[1].first, "y");
  EXPECT_EQ(united->entries()[2].first, "z");
  const auto x = united->find("x");
  EXPECT_EQ(*x->dtype_configs().get(0), *int8());
  EXPECT_EQ(*x->dtype_configs().get(1), *half());
  EXPECT_EQ(x->ops(), (Ops{"f", "g"}));
  x->add_dtype_config(half());
  EXPECT_EQ(a->find("x")->dtype_configs().size(), 1U);
}

TEST(Algebra, IntersectKeepsWhatBothHave) {
  const auto a =
      config("a", {row("x", {int8(), half()}, {"f", "g"}), row("y", {int8()}), row("w", {})});
  const auto b = config("b", {row("x", {half()}, {"g"}), row("y", {half()}), row("w", {int8()})});
  const auto common = intersect(*a, *b);
  EXPECT_EQ(common->name(), "a & b");
  ASSERT_EQ(common->entries().size(), 2U);
  EXPECT_EQ(common->find("x")->dtype_configs().size(), 1U);
  EXPECT_EQ(common->find("x")->ops(), (Ops{"g"}));
  EXPECT_FALSE(common->find("y"));
  EXPECT_EQ(common->find("w")->dtype_configs().size(), 0U);
}

TEST(Algebra, Clashes) {
  const auto a = config("a", {row("x", {int8()})});
  const auto b = config("b", {row("x", {int8()})});
  a->find("x")->set_root_module("M");
  EXPECT_EQ(unite(*a, *b)->find("x")->root_module(), "M");
  EXPECT_EQ(intersect(*a, *b)->find("x")->root_module(), std::nullopt);
  b->find("x")->set_root_module("N");
  EXPECT_VALUE_ERROR(unite(*a, *b),
                     "unite: row x: root_module is M in the first config and N in the second");
  EXPECT_VALUE_ERROR(intersect(*a, *b), "intersect: row x: root_module is M in the first");
  EXPECT_EQ(unite(*a, *b, OnClash::FIRST)->find("x")->root_module(), "M");
  EXPECT_EQ(intersect(*a, *b, OnClash::SECOND)->find("x")->root_module(), "N");
  EXPECT_EQ(on_clash_from_string("second"), OnClash::SECOND);
  EXPECT_VALUE_ERROR(on_clash_from_string("b"), "should be 'error', 'first' or 'second', got 'b'");
}

TEST(Algebra, OfTheBackends) {
  const auto fbgemm = get_fbgemm_backend_config();
  const auto qnnpack = get_qnnpack_backend_config();
  EXPECT_EQ(*unite(*fbgemm, *fbgemm), *fbgemm);
  EXPECT_EQ(*intersect(*fbgemm, *fbgemm), *fbgemm);
  auto common = intersect(*fbgemm, *qnnpack);
  EXPECT_EQ(common->configs().size(), 190U);
  EXPECT_EQ(unite(*fbgemm, *qnnpack)->configs().size(), 192U);
  const std::vector<Difference> info = {
      {"", "name", "fbgemm & qnnpack", "fbgemm"},
      {"shape", "row", std::nullopt, "quint8 -> quint8"},
      {"size", "row", std::nullopt, "quint8 -> quint8"},
  };
  EXPECT_EQ(diff(*common, *fbgemm), info);
}

TEST(Diff, NamesFields) {
  const auto a = config("same", {row("x", {int8()}, {"f"})});
  const auto b = config("same", {row("x", {int8()}, {"g"})});
  b->find("x")->set_qat_module("Q");
  EXPECT_EQ(diff(*a, *b), (std::vector<Difference>{{"x", "ops", "f", "g"},
                                                   {"x", "qat_module", std::nullopt, "Q"}}));
  EXPECT_EQ(diff_table(*a, *b),
            "pattern  field       same  same\n"
            "-------  ----------  ----  ----\n"
            "x        ops         f     g\n"
            "x        qat_module  -     Q\n");
  EXPECT_EQ(diff_table(*a, *a), "no differences\n");
}

TEST(Diff, TellsConstraintsApart) {
  auto bounded = c10::make_intrusive<DTypeWithConstraints>(at::kQUInt8);
  bounded->quant_min_lower_bound = 0;
  bounded->scale_exact_match = 0.5;
  bounded->zero_point_exact_match = 3;
  const auto a = config("n", {row("x", {c10::make_intrusive<DTypeConfig>(bounded)})});
  auto whole = c10::make_intrusive<DTypeWithConstraints>(*bounded);
  whole->quant_min_lower_bound = 0.0;
  EXPECT_TRUE(diff(*a, *config("n", {row("x", {c10::make_intrusive<DTypeConfig>(whole)})})).empty())
      << "0 equals 0.0";
  const auto differences = diff(*a, *config("n", {row("x", {})}));
  ASSERT_EQ(differences.size(), 1U);
  EXPECT_EQ(differences[0].a, "quint8[quant_min >= 0, scale = 0.5, zero_point = 3] -> -");
}

TEST(Table, HasALineForEachPair) {
  const std::string table = config("n", {row("x", {int8(), half()}, {"f", "g"})})->table();
  EXPECT_EQ(table,
            "n: 1 patterns, 2 combinations of dtypes\n\n"
            "pattern  observer  input    output   weight  bias  mode    op\n"
            "-------  --------  -------  -------  ------  ----  ------  --\n"
            "x        own       quint8   quint8   -       -     static  f\n"
            "                   float16  float16  -       -     static  g\n");
}

}  // namespace
}  // namespace qnative
