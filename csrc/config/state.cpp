#include "state.h"

#include <array>
#include <unordered_map>

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

// A file of a later version is refused. Version 1 has no ops in its pattern configs.
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

// The kinds of tables, in the order of the file: each names only what stands before it.
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
      return tuple({c.dtype, c.quant_min_lower_bound, c.quant_max_upper_bound,
                    c.scale_min_lower_bound, c.scale_max_upper_bound, c.scale_exact_match,
                    c.zero_point_exact_match});
    });
  }

  int64_t add(const DTypeConfig& c) {
    return add(kDTypeConfigs, &c, [&] {
      return tuple({add(*c.input_dtype_with_constraints()), add(*c.output_dtype_with_constraints()),
                    add(*c.weight_dtype_with_constraints()), c.bias_dtype, c.is_dynamic});
    });
  }

  int64_t add(const BackendPatternConfig& c) {
    return add(kPatternConfigs, &c, [&] {
      return tuple({values::from_pattern(c.pattern()), static_cast<int64_t>(c.observation_type()),
                    add(c.dtype_configs()), c.root_module(), c.qat_module(),
                    c.reference_quantized_module(), c.fused_module(), c.fuser_method(),
                    c.root_node_getter(), c.extra_inputs_getter(),
                    add(kObservationTypes, c.num_tensor_args_to_observation_type()),
                    add(kInputIndices, c.input_type_to_index()),
                    values::from_pattern(c.pattern_complex_format()), names(c.ops())});
    });
  }

  IValue tables() && {
    std::vector<IValue> all;
    all.reserve(tables_.size());
    for (auto& table : tables_) {
      all.push_back(tuple(std::move(table.rows)));
    }
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
    if (found != table.seen.end()) {
      return found->second;
    }
    const auto index = static_cast<int64_t>(table.rows.size());
    table.seen.emplace(identity, index);
    table.rows.push_back(make_row());
    return index;
  }

  int64_t add(const DTypeConfigs& list) {
    return add(kLists, IValue(list).internalToPointer(), [&] {
      std::vector<IValue> indices;
      indices.reserve(list.size());
      for (size_t i = 0; i < list.size(); ++i) {
        indices.emplace_back(add(*list.get(i)));
      }
      return tuple(std::move(indices));
    });
  }

  template <typename Key>
  int64_t add(Kind kind, const c10::Dict<Key, int64_t>& dict) {
    return add(kind, IValue(dict).internalToPointer(), [&] {
      std::vector<IValue> entries;
      entries.reserve(dict.size());
      for (const auto& entry : dict) {
        entries.push_back(tuple({entry.key(), entry.value()}));
      }
      return tuple(std::move(entries));
    });
  }

  std::array<Table, kKinds> tables_;
};

// A value and where in the state it stands.
class Cursor {
 public:
  Cursor(const IValue& value, std::string where) : value_(value), where_(std::move(where)) {}

  template <typename... Message>
  void check(bool right, const Message&... message) const {
    TORCH_CHECK_VALUE(right, "damaged state: ", where_, " ", message...);
  }

  // The elements of a tuple; `size`: how many there must be.
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

  // The element of `table` that this index names.
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
  const auto fields = row.elements(7);
  auto result = c10::make_intrusive<DTypeWithConstraints>(fields[0].as(values::to_dtype));
  result->quant_min_lower_bound = fields[1].as(values::to_number);
  result->quant_max_upper_bound = fields[2].as(values::to_number);
  result->scale_min_lower_bound = fields[3].as(values::to_number);
  result->scale_max_upper_bound = fields[4].as(values::to_number);
  result->scale_exact_match = fields[5].as(values::to_double);
  result->zero_point_exact_match = fields[6].as(values::to_int);
  return result;
}

DTypeConfigPtr read_dtype_config(const Cursor& row, const Tables& tables) {
  const auto fields = row.elements(5);
  return c10::make_intrusive<DTypeConfig>(
      fields[0].of(tables.constraints), fields[1].of(tables.constraints),
      fields[2].of(tables.constraints), fields[3].as(values::to_dtype),
      fields[4].as(values::to_bool));
}

DTypeConfigs read_list(const Cursor& row, const Tables& tables) {
  DTypeConfigs list;
  for (const auto& index : row.elements()) {
    list.push_back(index.of(tables.dtype_configs));
  }
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
  const auto fields = row.elements(tables.version == 1 ? 13 : 14);
  auto config = c10::make_intrusive<BackendPatternConfig>(fields[0].as(values::to_pattern));
  config->set_observation_type(fields[1].as(values::to_observation_type))
      .set_dtype_configs(fields[2].of(tables.lists))
      .set_root_module(fields[3].as(values::to_string))
      .set_qat_module(fields[4].as(values::to_string))
      .set_reference_quantized_module(fields[5].as(values::to_string))
      .set_fused_module(fields[6].as(values::to_string))
      .set_fuser_method(fields[7].as(values::to_string))
      .set_root_node_getter(fields[8].as(values::to_string))
      .set_extra_inputs_getter(fields[9].as(values::to_string))
      .set_num_tensor_args_to_observation_type(fields[10].of(tables.observation_types))
      .set_input_type_to_index(fields[11].of(tables.input_indices));
  if (auto complex = fields[12].as(values::to_pattern)) {
    config->set_pattern_complex_format(std::move(complex));
  }
  BackendPatternConfig::Ops ops;
  if (tables.version > 1) {
    for (const auto& op : fields[13].elements()) {
      ops.push_back(op.string());
    }
  }
  config->set_ops(std::move(ops));
  return config;
}

Tables read_tables(const Cursor& state, int64_t version) {
  const auto cursors = state.elements(kKinds);
  const auto rows = [&](Kind kind) { return cursors[kind].named(kKindNames[kind]).elements(); };
  Tables tables;
  tables.version = version;
  for (const auto& row : rows(kConstraints)) {
    tables.constraints.push_back(read_constraints(row));
  }
  for (const auto& row : rows(kDTypeConfigs)) {
    tables.dtype_configs.push_back(read_dtype_config(row, tables));
  }
  for (const auto& row : rows(kLists)) {
    tables.lists.push_back(read_list(row, tables));
  }
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
