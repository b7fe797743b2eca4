#include "qnative/algebra.h"

#include <algorithm>

#include "fields.h"
#include "text.h"

namespace qnative {
namespace {

using Row = BackendPatternConfig;
using DTypeConfigs = Row::DTypeConfigs;

// Merges the rows of one pattern.
class Merger {
 public:
  Merger(const char* verb, bool keeps_single, OnClash on_clash)
      : verb_(verb), keeps_single_(keeps_single), on_clash_(on_clash) {}

  c10::intrusive_ptr<Row> merge(const Pattern& key, const Row& a, const Row& b) {
    row_ = text::pattern(a, key);
    auto result = c10::make_intrusive<Row>();
    const bool one_form =
        a.pattern() == b.pattern() && a.pattern_complex_format() == b.pattern_complex_format();
    const bool first_form =
        one_form || first_wins("pattern", text::pattern(a, key), text::pattern(b, key));
    const Row* form = first_form ? &a : &b;
    if (form->pattern()) {
      result->set_pattern(form->pattern());
    } else {
      result->set_pattern_complex_format(form->pattern_complex_format());
    }
    for (const auto& field : fields::kNames) {
      const Row::Name& in_a = (a.*field.get)();
      const Row::Name& in_b = (b.*field.get)();
      (*result.*field.set)(field.takes_pattern && !one_form ? (form->*field.get)()
                                                            : name(field.name, in_a, in_b));
    }
    const bool same_type = a.observation_type() == b.observation_type();
    const bool first_type =
        same_type || first_wins("observation_type", toString(a.observation_type()),
                                toString(b.observation_type()));
    result->set_observation_type(first_type ? a.observation_type() : b.observation_type())
        .set_num_tensor_args_to_observation_type(dict("num_tensor_args_to_observation_type",
                                                      a.num_tensor_args_to_observation_type(),
                                                      b.num_tensor_args_to_observation_type()))
        .set_input_type_to_index(
            dict("input_type_to_index", a.input_type_to_index(), b.input_type_to_index()));
    merge_dtypes(*result, a, b);
    return result;
  }

 private:
  // Whether the first of two different values wins.
  bool first_wins(const std::string& field, const std::string& a, const std::string& b) const {
    TORCH_CHECK_VALUE(on_clash_ != OnClash::ERROR, "qnative: ", verb_, ": row ", row_, ": ", field,
                      " is ", a, " in the first config and ", b, " in the second");
    return on_clash_ == OnClash::FIRST;
  }

  Row::Name name(const char* field, const Row::Name& a, const Row::Name& b) const {
    if (a == b) return a;
    if (!a || !b) return keeps_single_ ? (a ? a : b) : std::nullopt;
    return first_wins(field, *a, *b) ? a : b;
  }

  template <typename Key>
  c10::Dict<Key, int64_t> dict(const char* field, const c10::Dict<Key, int64_t>& a,
                               const c10::Dict<Key, int64_t>& b) const {
    if (text::dict(a) == text::dict(b)) return a.copy();
    if (a.empty() || b.empty()) {
      return keeps_single_ ? (a.empty() ? b : a).copy() : c10::Dict<Key, int64_t>();
    }
    return (first_wins(field, text::dict(a), text::dict(b)) ? a : b).copy();
  }

  std::string op(const std::string& a, const std::string& b) const {
    const auto set = [](const std::string& op) { return op.empty() ? Row::Name() : Row::Name(op); };
    return name("ops", set(a), set(b)).value_or("");
  }

  void merge_dtypes(Row& result, const Row& a, const Row& b) const {
    DTypeConfigs list;
    Row::Ops ops;
    const auto in_a = a.dtype_configs();
    const auto in_b = b.dtype_configs();
    for (size_t i = 0; i < in_a.size(); ++i) {
      const auto other = fields::position(in_b, *in_a.get(i));
      if (other || keeps_single_) {
        list.push_back(in_a.get(i));
        ops.push_back(other ? op(a.op(i), b.op(*other)) : a.op(i));
      }
    }
    for (size_t i = 0; keeps_single_ && i < in_b.size(); ++i) {
      if (!fields::position(in_a, *in_b.get(i))) {
        list.push_back(in_b.get(i));
        ops.push_back(b.op(i));
      }
    }
    if (list.empty()) ops = {op(a.op(0), b.op(0))};
    const bool one = std::all_of(ops.begin(), ops.end(), [&](auto& op) { return op == ops[0]; });
    if (one) ops.resize(ops.front().empty() ? 0 : 1);
    result.set_dtype_configs(list).set_ops(std::move(ops));
  }

  const char* verb_;
  // Whether the result keeps a value that only one config has.
  bool keeps_single_;
  OnClash on_clash_;
  std::string row_;
};

c10::intrusive_ptr<BackendConfig> named(const BackendConfig& a, const BackendConfig& b,
                                        const char* sign) {
  return c10::make_intrusive<BackendConfig>(a.name() == b.name() ? a.name()
                                                                 : a.name() + sign + b.name());
}

// A copy of the row with lists and dicts of its own.
c10::intrusive_ptr<Row> own(const Row& row) {
  auto copy = c10::make_intrusive<Row>(row);
  copy->set_dtype_configs(row.dtype_configs().copy())
      .set_num_tensor_args_to_observation_type(row.num_tensor_args_to_observation_type().copy())
      .set_input_type_to_index(row.input_type_to_index().copy());
  return copy;
}

}  // namespace

OnClash on_clash_from_string(const std::string& name) {
  const auto kinds = {std::pair{"error", OnClash::ERROR}, std::pair{"first", OnClash::FIRST},
                      std::pair{"second", OnClash::SECOND}};
  for (const auto& [known, kind] : kinds) {
    if (name == known) return kind;
  }
  TORCH_CHECK_VALUE(false, "on_clash should be 'error', 'first' or 'second', got '", name, "'");
}

c10::intrusive_ptr<BackendConfig> unite(const BackendConfig& a, const BackendConfig& b,
                                        OnClash on_clash) {
  Merger merger("unite", /*keeps_single=*/true, on_clash);
  auto result = named(a, b, " | ");
  for (const auto& [key, row] : a.entries()) {
    const auto other = b.find(key);
    result->set_entry(key, other ? merger.merge(key, *row, *other) : own(*row));
  }
  for (const auto& [key, row] : b.entries()) {
    if (!a.find(key)) result->set_entry(key, own(*row));
  }
  return result;
}

c10::intrusive_ptr<BackendConfig> intersect(const BackendConfig& a, const BackendConfig& b,
                                            OnClash on_clash) {
  Merger merger("intersect", /*keeps_single=*/false, on_clash);
  auto result = named(a, b, " & ");
  for (const auto& [key, row] : a.entries()) {
    const auto other = b.find(key);
    if (!other) continue;
    const auto list = row->dtype_configs();
    const auto other_list = other->dtype_configs();
    bool common = false;
    for (size_t i = 0; i < list.size(); ++i) {
      common = common || fields::position(other_list, *list.get(i));
    }
    if (common || list.empty() || other_list.empty()) {
      result->set_entry(key, merger.merge(key, *row, *other));
    }
  }
  return result;
}

}  // namespace qnative
