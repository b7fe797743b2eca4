#include "state.h"

#include <array>
#include <unordered_map>

#include "fields.h"
#include "values.h"

namespace qnative::state {
namespace {

using c10::IValue;
using PatternConfigPtr = c10::intrusive_ptr<BackendPatternConfig>;
using DTypeConfigPtr = c10::intrusive_ptr<DTypeConfig>;
using ConstraintsPtr = c10::intrusive_ptr<DTypeWithConstraints>;
using DTypeConfigs = BackendPatternConfig::DTypeConfigs;
using ObservationTypes = BackendPatternConfig::NumTensorArgsToObservationType;
using InputIndices = BackendPatternConfig::InputTypeToIndex;

// Files of a later version are rejected. Version 1 has no ops in pattern configs.
constexpr int64_t kVersion = 2;

template <typename T>
constexpr const char* kClassName = nullptr;
template <>
constexpr const char* kClassName<DTypeWithConstraints> = "DTypeWithConstraints";
template <>
constexpr const char* kClassName<DTypeConfig> = "DTypeConfig";
template <>
constexpr const char* kClassName<BackendPatternConfig> = "BackendPatternConfig";
template <>
constexpr const char* kClassName<BackendConfig> = "BackendConfig";

IValue tuple(std::vector<IValue> elements) {
  return c10::ivalue::Tuple::create(std::move(elements));
}

IValue names(const BackendPatternConfig::Ops& ops) { return tuple({ops.begin(), ops.end()}); }

// The tables, in the order of the file: each refers only to earlier ones.
enum Kind : size_t {
  kConstraints,
  kDTypeConfigs,
  kLists,
  kObservationTypes,
  kInputIndices,
  kPatternConfigs,
  kKinds
};
constexpr std::array<const char*, kKinds> kKindNames = {
    "dtypes_with_constraints", "dtype_configs", "lists",
    "observation_types",       "input_indices", "pattern_configs"};

class Writer {
 public:
  int64_t add(const DTypeWithConstraints& c) {
    return add(kConstraints, &c, [&] {
      std::vector<IValue> row = {c.dtype};
      for (const auto& field : fields::kNumbers) row.emplace_back(c.*field.member);
      row.insert(row.end(), {c.scale_exact_match, c.zero_point_exact_match});
      return tuple(std::move(row));
    });
  }

  int64_t add(const DTypeConfig& c) {
    return add(kDTypeConfigs, &c, [&] {
      std::vector<IValue> row;
      row.reserve(fields::kDTypes.size() + 2);
      for (const auto& field : fields::kDTypes) row.emplace_back(add(*(c.*field.get)()));
      row.insert(row.end(), {c.bias_dtype, c.is_dynamic});
      return tuple(std::move(row));
    });
  }

  int64_t add(const BackendPatternConfig& c) {
    return add(kPatternConfigs, &c, [&] {
      std::vector<IValue> row = {values::from_pattern(c.pattern()),
                                 static_cast<int64_t>(c.observation_type()),
                                 add(c.dtype_configs())};
      for (const auto& field : fields::kNames) row.emplace_back((c.*field.get)());
      row.insert(row.end(), {add(kObservationTypes, c.num_tensor_args_to_observation_type()),
                             add(kInputIndices, c.input_type_to_index()),
                             values::from_pattern(c.pattern_complex_format()), names(c.ops())});
      return tuple(std::move(row));
    });
  }

  IValue tables() && {
    std::vector<IValue> all;
    all.reserve(tables_.size());
    for (auto& table : tables_) all.push_back(tuple(std::move(table.rows)));
    return tuple(std::move(all));
  }

 private:
  struct Table {
    std::unordered_map<const void*, int64_t> seen;
    std::vector<IValue> rows;
  };

  template <typename MakeRow>
  int64_t add(Kind kind, const void* identity, const MakeRow& make_row) {
    auto& table = tables_[kind];
    const auto found = table.seen.find(identity);
    if (found != table.seen.end()) return found->second;
    const auto index = static_cast<int64_t>(table.rows.size());
    table.seen.emplace(identity, index);
    table.rows.push_back(make_row());
    return index;
  }

  int64_t add(const DTypeConfigs& list) {
    return add(kLists, IValue(list).internalToPointer(), [&] {
      std::vector<IValue> indices;
      indices.reserve(list.size());
      for (size_t i = 0; i < list.size(); ++i) indices.emplace_back(add(*list.get(i)));
      return tuple(std::move(indices));
    });
  }

  template <typename Key>
  int64_t add(Kind kind, const c10::Dict<Key, int64_t>& dict) {
    return add(kind, IValue(dict).internalToPointer(), [&] {
      std::vector<IValue> entries;
      entries.reserve(dict.size());
      for (const auto& entry : dict) entries.push_back(tuple({entry.key(), entry.value()}));
      return tuple(std::move(entries));
    });
  }

  std::array<Table, kKinds> tables_;
};

// A value and its path in the state.
class Cursor {
 public:
  Cursor(const IValue& value, std::string where) : value_(value), where_(std::move(where)) {}

  template <typename... Message>
  void check(bool right, const Message&... message) const {
    TORCH_CHECK_VALUE(right, "damaged state: ", where_, " ", message...);
  }

  // The elements of a tuple, which must have `size` elements if given.
  std::vector<Cursor> elements(std::optional<size_t> size = std::nullopt) const {
    check(value_.isTuple(), "should be a tuple, got ", value_.tagKind());
    const auto& elements = value_.toTupleRef().elements();
    check(!size || elements.size() == *size, "should have ", size.value_or(0), " elements, got ",
          elements.size());
    std::vector<Cursor> cursors;
    cursors.reserve(elements.size());
    for (size_t i = 0; i < elements.size(); ++i) {
      cursors.emplace_back(elements[i], where_ + "[" + std::to_string(i) + "]");
    }
    return cursors;
  }

  Cursor named(const std::string& name) const { return {value_, name}; }

  // read(value, where), one of the functions of values.h.
  template <typename Read>
  auto as(const Read& read) const {
    return read(value_, "damaged state: " + where_);
  }

  int64_t integer() const {
    check(value_.isInt(), "should be an int, got ", value_.tagKind());
    return value_.toInt();
  }

  std::string string() const {
    check(value_.isString(), "should be a str, got ", value_.tagKind());
    return value_.toStringRef();
  }

  // The element of `table` at this index.
  template <typename T>
  const T& of(const std::vector<T>& table) const {
    const int64_t index = integer();
    check(index >= 0 && index < static_cast<int64_t>(table.size()), "should be an index below ",
          table.size(), ", got ", index);
    return table[static_cast<size_t>(index)];
  }

 private:
  IValue value_;
  std::string where_;
};

struct Tables {
  int64_t version = kVersion;
  std::vector<ConstraintsPtr> constraints;
  std::vector<DTypeConfigPtr> dtype_configs;
  std::vector<DTypeConfigs> lists;
  std::vector<ObservationTypes> observation_types;
  std::vector<InputIndices> input_indices;
  std::vector<PatternConfigPtr> pattern_configs;
};

ConstraintsPtr read_constraints(const Cursor& row) {
  const auto elements = row.elements(3 + fields::kNumbers.size());
  auto next = elements.begin();
  auto result = c10::make_intrusive<DTypeWithConstraints>((next++)->as(values::to_dtype));
  for (const auto& field : fields::kNumbers) {
    (*result).*field.member = (next++)->as(values::to_number);
  }
  result->scale_exact_match = (next++)->as(values::to_double);
  result->zero_point_exact_match = (next++)->as(values::to_int);
  return result;
}

DTypeConfigPtr read_dtype_config(const Cursor& row, const Tables& tables) {
  const auto elements = row.elements(2 + fields::kDTypes.size());
  auto next = elements.begin();
  auto result = c10::make_intrusive<DTypeConfig>();
  for (const auto& field : fields::kDTypes) {
    ((*result).*field.set)((next++)->of(tables.constraints));
  }
  result->bias_dtype = (next++)->as(values::to_dtype);
  result->is_dynamic = (next++)->as(values::to_bool);
  return result;
}

DTypeConfigs read_list(const Cursor& row, const Tables& tables) {
  DTypeConfigs list;
  for (const auto& index : row.elements()) list.push_back(index.of(tables.dtype_configs));
  return list;
}

ObservationTypes read_observation_types(const Cursor& row) {
  ObservationTypes dict;
  for (const auto& entry : row.elements()) {
    const auto fields = entry.elements(2);
    const auto type = fields[1].as(values::to_observation_type);
    dict.insert(fields[0].integer(), static_cast<int64_t>(type));
  }
  return dict;
}

InputIndices read_input_indices(const Cursor& row) {
  InputIndices dict;
  for (const auto& entry : row.elements()) {
    const auto fields = entry.elements(2);
    dict.insert(fields[0].string(), fields[1].integer());
  }
  return dict;
}

PatternConfigPtr read_pattern_config(const Cursor& row, const Tables& tables) {
  const auto elements = row.elements((tables.version == 1 ? 6 : 7) + fields::kNames.size());
  auto next = elements.begin();
  auto config = c10::make_intrusive<BackendPatternConfig>((next++)->as(values::to_pattern));
  config->set_observation_type((next++)->as(values::to_observation_type))
      .set_dtype_configs((next++)->of(tables.lists));
  for (const auto& field : fields::kNames) ((*config).*field.set)((next++)->as(values::to_string));
  config->set_num_tensor_args_to_observation_type((next++)->of(tables.observation_types));
  config->set_input_type_to_index((next++)->of(tables.input_indices));
  if (auto complex = (next++)->as(values::to_pattern)) {
    config->set_pattern_complex_format(std::move(complex));
  }
  BackendPatternConfig::Ops ops;
  if (tables.version > 1) {
    for (const auto& op : (next++)->elements()) ops.push_back(op.string());
  }
  config->set_ops(std::move(ops));
  return config;
}

Tables read_tables(const Cursor& state, int64_t version) {
  const auto cursors = state.elements(kKinds);
  const auto rows = [&](Kind kind) { return cursors[kind].named(kKindNames[kind]).elements(); };
  Tables tables;
  tables.version = version;
  for (const auto& row : rows(kConstraints)) tables.constraints.push_back(read_constraints(row));
  for (const auto& row : rows(kDTypeConfigs)) {
    tables.dtype_configs.push_back(read_dtype_config(row, tables));
  }
  for (const auto& row : rows(kLists)) tables.lists.push_back(read_list(row, tables));
  for (const auto& row : rows(kObservationTypes)) {
    tables.observation_types.push_back(read_observation_types(row));
  }
  for (const auto& row : rows(kInputIndices)) {
    tables.input_indices.push_back(read_input_indices(row));
  }
  for (const auto& row : rows(kPatternConfigs)) {
    tables.pattern_configs.push_back(read_pattern_config(row, tables));
  }
  return tables;
}

IValue write_root(Writer& writer, const BackendConfig& config) {
  std::vector<IValue> entries;
  for (const auto& [key, pattern_config] : config.entries()) {
    entries.push_back(tuple({key.to_ivalue(), writer.add(*pattern_config)}));
  }
  return tuple({config.name(), tuple(std::move(entries))});
}

template <typename T>
IValue write_root(Writer& writer, const T& object) {
  return writer.add(object);
}

void read_root(const Cursor& root, const Tables& tables, ConstraintsPtr& result) {
  result = root.of(tables.constraints);
}

void read_root(const Cursor& root, const Tables& tables, DTypeConfigPtr& result) {
  result = root.of(tables.dtype_configs);
}

void read_root(const Cursor& root, const Tables& tables, PatternConfigPtr& result) {
  result = root.of(tables.pattern_configs);
}

void read_root(const Cursor& root, const Tables& tables,
               c10::intrusive_ptr<BackendConfig>& result) {
  const auto fields = root.elements(2);
  result = c10::make_intrusive<BackendConfig>(fields[0].string());
  for (const auto& entry : fields[1].elements()) {
    const auto parts = entry.elements(2);
    auto key = parts[0].as(values::to_pattern);
    parts[0].check(key.has_value(), "should be a pattern, got None");
    result->set_entry(std::move(*key), parts[1].of(tables.pattern_configs));
  }
}

}  // namespace

template <typename T>
IValue save(const T& object) {
  Writer writer;
  IValue root = write_root(writer, object);
  return tuple({std::string(kClassName<T>), kVersion, std::move(writer).tables(), std::move(root)});
}

template <typename T>
c10::intrusive_ptr<T> load(const IValue& state) {
  const std::string class_name = kClassName<T>;
  return values::within("qnative." + class_name, [&] {
    const auto parts = Cursor(state, "the state").elements(4);
    const std::string found = parts[0].named("the class name").string();
    TORCH_CHECK_VALUE(found == class_name, "damaged state: it is that of a ", found);
    const int64_t version = parts[1].named("the format version").integer();
    TORCH_CHECK_VALUE(version >= 1 && version <= kVersion, "the state has format version ", version,
                      ", this library reads versions 1 to ", kVersion);
    c10::intrusive_ptr<T> result;
    read_root(parts[3].named("root"), read_tables(parts[2].named("tables"), version), result);
    return result;
  });
}

template IValue save(const DTypeWithConstraints&);
template IValue save(const DTypeConfig&);
template IValue save(const BackendPatternConfig&);
template IValue save(const BackendConfig&);
template ConstraintsPtr load(const IValue&);
template DTypeConfigPtr load(const IValue&);
template PatternConfigPtr load(const IValue&);
template c10::intrusive_ptr<BackendConfig> load(const IValue&);

}  // namespace qnative::state
