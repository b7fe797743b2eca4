#pragma once

#include <optional>
#include <string>
#include <vector>

#include "qnative/config.h"

// What two BackendConfigs support together, in common, and where they differ. Rows are the same if
// their patterns are, whichever of the two formats they are in; DTypeConfigs if their values are.
namespace qnative {

// A row's field that both set, to different values: what the result has of it.
enum class OnClash : int64_t {
  // c10::ValueError which names the row, the field and both values.
  ERROR = 0,
  // That of the first config.
  FIRST = 1,
  SECOND = 2,
};

// "error", "first", "second". Throws c10::ValueError for anything else.
QNATIVE_API OnClash on_clash_from_string(const std::string& name);

// The rows of `a`, then those only `b` has, each in its order. A row of both:
// - has the DTypeConfigs of `a`, then those only `b` has, each with its op;
// - has a field if one of them has it, and clashes where both have it and differ.
// observation_type is always set. The pattern itself clashes if one has it in the plain and the
// other in the nested format; fuser_method and the getters, whose arguments have that form, then
// come from the same config as the pattern.
//
// Named like `a` and `b` if these have one name, else "a | b". The result has pattern configs and
// lists of its own; they hold the DTypeConfigs of `a` and `b` themselves. Throws for a clash as
// `on_clash` says.
QNATIVE_API c10::intrusive_ptr<BackendConfig> unite(const BackendConfig& a, const BackendConfig& b,
                                                    OnClash on_clash = OnClash::ERROR);

// The rows of `a` that `b` has too, in the order of `a`, but for those that have no DTypeConfig in
// common, though both have some. Such a row:
// - has the DTypeConfigs of `a` that `b` has too, each with its op;
// - has a field if both have it, and clashes where they differ.
// The pattern is as in unite(). Named "a & b" unless `a` and `b` have one name. Throws for a clash
// as `on_clash` says.
QNATIVE_API c10::intrusive_ptr<BackendConfig> intersect(const BackendConfig& a,
                                                        const BackendConfig& b,
                                                        OnClash on_clash = OnClash::ERROR);

// Fields and what they are in each of two configs, as text; std::nullopt: it is not there.
struct QNATIVE_API Difference {
  // Of the row, as BackendConfig::table() has it; empty: `field` is one of the config itself,
  // "name" or "order": the first rows, of those in both, which come in another order.
  std::string pattern;
  // The name of a field. "row": only one of them has the row; the text is that of its DTypeConfigs.
  // "dtype_configs": one DTypeConfig that only one of them has, or all, if only their order
  // differs.
  std::string field;
  std::optional<std::string> a;
  std::optional<std::string> b;

  bool operator==(const Difference& other) const = default;
};

// In the order of the rows of `a`, then of `b`. Empty exactly if a == b and the ops are equal too.
QNATIVE_API std::vector<Difference> diff(const BackendConfig& a, const BackendConfig& b);

// A table with a line for each, under the names of the two configs.
QNATIVE_API std::string diff_table(const BackendConfig& a, const BackendConfig& b);

}  // namespace qnative
