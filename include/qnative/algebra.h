#pragma once

#include <optional>
#include <string>
#include <vector>

#include "qnative/config.h"

// Union, intersection and difference of BackendConfigs. Rows are the same if their patterns are
// equal in either format, DTypeConfigs if their values are equal. All functions leave their
// arguments unchanged and may be called from any thread.
//
//   const auto both = qnative::unite(*get_native_backend_config(), *my_backend_config());
namespace qnative {

// The result if both configs set a field of a row to different values.
enum class OnClash : int64_t {
  // Throws c10::ValueError with the row, the field and both values.
  ERROR = 0,
  // The value of the first config.
  FIRST = 1,
  SECOND = 2,
};

// "error", "first", "second". Throws c10::ValueError for anything else.
QNATIVE_API OnClash on_clash_from_string(const std::string& name);

// The rows of `a`, then the rows that only `b` has, each in its order. A row of both
// - has the DTypeConfigs of `a`, then those that only `b` has, each with its op;
// - has a field if one of them has it, and clashes if both have it and differ.
// observation_type is always set. The pattern clashes if one config has it in the plain and the
// other in the nested format; fuser_method and the getters take arguments in that format, so they
// come from the same config as the pattern.
//
// The name is the common name of `a` and `b`, else "a | b". The result has new pattern configs and
// lists, which hold the DTypeConfigs of `a` and `b` by reference. Throws c10::ValueError for a
// clash with OnClash::ERROR.
QNATIVE_API c10::intrusive_ptr<BackendConfig> unite(const BackendConfig& a, const BackendConfig& b,
                                                    OnClash on_clash = OnClash::ERROR);

// The rows of `a` that `b` has too, in the order of `a`, except rows where both have DTypeConfigs
// but none in common. Such a row
// - has the DTypeConfigs of `a` that `b` has too, each with its op;
// - has a field if both have it, and clashes if they differ.
// The pattern is as in unite(). The name is the common name, else "a & b". Throws c10::ValueError
// for a clash with OnClash::ERROR.
QNATIVE_API c10::intrusive_ptr<BackendConfig> intersect(const BackendConfig& a,
                                                        const BackendConfig& b,
                                                        OnClash on_clash = OnClash::ERROR);

// A field and its value in each of two configs, as text; std::nullopt if it is absent.
struct QNATIVE_API Difference {
  // The row's pattern as in BackendConfig::table(). Empty for a field of the config itself: "name",
  // or "order" with the first of the common rows that come in a different order.
  std::string pattern;
  // The name of a field. "row": only one config has the row; the text is its DTypeConfigs.
  // "dtype_configs": a DTypeConfig that only one config has, or all of them if only the order
  // differs.
  std::string field;
  std::optional<std::string> a;
  std::optional<std::string> b;

  bool operator==(const Difference& other) const = default;
};

// In the order of the rows of `a`, then of `b`. Empty if and only if a == b and the ops are equal
// too.
QNATIVE_API std::vector<Difference> diff(const BackendConfig& a, const BackendConfig& b);

// The differences as a table, under the names of the two configs.
QNATIVE_API std::string diff_table(const BackendConfig& a, const BackendConfig& b);

}  // namespace qnative
