#include <algorithm>
#include <charconv>

#include "fields.h"
#include "json.h"
#include "json_fields.h"
#include "text.h"
#include "values.h"

namespace qnative {
namespace {

// A value and its path in the document. `value` is null if there is none.
class Node {
 public:
  static constexpr const char* kRoot = "the text";

  Node(const json::Value* value, std::string path) : value_(value), path_(std::move(path)) {}

  explicit operator bool() const { return value_ != nullptr; }

  template <typename... Message>
  void check(bool right, const Message&... message) const {
    TORCH_CHECK_VALUE(right, "qnative: from_json: ", path_, ": ", message...);
  }

  // Runs `action` and adds the path to its errors.
  template <typename Action>
  auto within(const Action& action) const {
    return values::within("qnative: from_json: " + path_, action);
  }

  // Null if the value has another type.
  template <typename T>
  const T* get() const {
    return value_ == nullptr ? nullptr : std::get_if<T>(&value_->data);
  }

  [[noreturn]] void refuse(const std::string& wanted) const {
    TORCH_CHECK_VALUE(false, "qnative: from_json: ", path_, ": wanted ", wanted, ", got ",
                      value_ == nullptr ? "nothing" : value_->describe());
  }

  template <typename T>
  const T& as(const std::string& wanted) const {
    const T* data = get<T>();
    if (data == nullptr) refuse(wanted);
    return *data;
  }

  std::vector<Node> elements(const std::string& wanted) const {
    std::vector<Node> nodes;
    for (const auto& element : as<json::Array>(wanted)) {
      nodes.emplace_back(&element, path_ + "[" + std::to_string(nodes.size()) + "]");
    }
    return nodes;
  }

  std::vector<std::pair<std::string, Node>> members(const std::string& wanted) const {
    std::vector<std::pair<std::string, Node>> nodes;
    for (const auto& [name, value] : as<json::Object>(wanted)) {
      nodes.emplace_back(name, Node(&value, member_path(name)));
    }
    return nodes;
  }

  // A member of an object.
  Node operator[](const std::string& name) const {
    return {as<json::Object>("an object").find(name), member_path(name)};
  }

  void allow_only(const std::vector<std::string>& names) const {
    for (const auto& [name, node] : members("an object")) {
      if (std::find(names.begin(), names.end(), name) == names.end()) {
        std::string all;
        for (const auto& known : names) all += (all.empty() ? "" : ", ") + known;
        node.check(false, "there is no such field; there are ", all);
      }
    }
  }

 private:
  std::string member_path(const std::string& name) const {
    return path_ == kRoot ? name : path_ + "." + name;
  }

  const json::Value* value_;
  std::string path_;
};

at::ScalarType read_dtype(const Node& node) {
  const std::string wanted = "the name of a dtype, such as 'quint8'";
  const auto& name = node.as<std::string>(wanted);
  const auto& all = c10::getStringToDtypeMap();
  const auto found = all.find(name);
  // The map has more than one name for some dtypes.
  if (found == all.end() || text::dtype(found->second) != name) node.refuse(wanted);
  return found->second;
}

ObservationType read_observation_type(const Node& node) {
  const std::string wanted =
      "the name of an ObservationType, such as '" + std::string(toString(ObservationType(0))) + "'";
  const auto& name = node.as<std::string>(wanted);
  for (const int64_t value : {0, 1, 2}) {
    const auto type = observation_type_from_int(value);
    if (name == toString(type)) return type;
  }
  node.refuse(wanted);
}

at::Scalar read_number(const Node& node) {
  if (const auto* integer = node.get<int64_t>()) return {*integer};
  return {node.as<double>("a number")};
}

c10::intrusive_ptr<DTypeWithConstraints> read_constraints(const Node& node) {
  std::vector<std::string> names = {"dtype"};
  for (const auto& field : fields::kNumbers) names.emplace_back(field.name);
  names.insert(names.end(), {"scale_exact_match", "zero_point_exact_match"});
  node.allow_only(names);
  auto result = c10::make_intrusive<DTypeWithConstraints>();
  if (const auto dtype = node["dtype"]) result->dtype = read_dtype(dtype);
  for (const auto& field : fields::kNumbers) {
    if (const auto number = node[field.name]) (*result).*field.member = read_number(number);
  }
  if (const auto scale = node["scale_exact_match"]) {
    result->scale_exact_match = read_number(scale).toDouble();
  }
  if (const auto zero_point = node["zero_point_exact_match"]) {
    result->zero_point_exact_match = zero_point.as<int64_t>("an integer");
  }
  return result;
}

c10::intrusive_ptr<DTypeConfig> read_dtype_config(const Node& node) {
  std::vector<std::string> names;
  names.reserve(std::size(fields::kDTypes) + 2);
  auto result = c10::make_intrusive<DTypeConfig>();
  for (const auto& field : fields::kDTypes) names.emplace_back(field.name);
  names.insert(names.end(), {"bias_dtype", "is_dynamic"});
  node.allow_only(names);
  for (const auto& field : fields::kDTypes) {
    if (const auto dtype = node[field.name]) ((*result).*field.set)(read_constraints(dtype));
  }
  if (const auto dtype = node["bias_dtype"]) result->bias_dtype = read_dtype(dtype);
  if (const auto is_dynamic = node["is_dynamic"]) {
    result->is_dynamic = is_dynamic.as<bool>("true or false");
  }
  return result;
}

Pattern read_pattern(const Node& node) {
  const std::string wanted = "a name or an array of patterns";
  if (const auto* name = node.get<std::string>()) {
    node.check(!name->empty(), "wanted a name, got ''");
    return {*name};
  }
  std::vector<Pattern> elements;
  for (const auto& element : node.elements(wanted)) elements.push_back(read_pattern(element));
  node.check(!elements.empty(), "wanted an array with elements, got []");
  return node.within([&] { return Pattern::tuple(std::move(elements)); });
}

void read_patterns(const Node& node, BackendPatternConfig& config) {
  const auto plain = node["pattern"];
  const auto nested = node["pattern_complex_format"];
  nested.check(!plain || !nested, "only one of 'pattern' and this can be set");
  if (nested) {
    config.set_pattern_complex_format(read_pattern(nested));
    return;
  }
  const Pattern pattern = read_pattern(plain);
  const size_t size = pattern.elements().size();
  plain.check(!pattern.is_tuple() || size == 2 || size == 3, "wanted an array of 2 or 3, got ",
              size);
  config.set_pattern(pattern);
}

int64_t read_count(const std::string& name, const Node& node) {
  int64_t count = 0;
  const char* end = name.data() + name.size();
  const auto [stop, error] = std::from_chars(name.data(), end, count);
  node.check(error == std::errc() && stop == end && std::to_string(count) == name,
             "wanted a number of tensors as the name of the member, got '", name, "'");
  return count;
}

c10::intrusive_ptr<BackendPatternConfig> read_row(const Node& node) {
  std::vector<std::string> names = {"pattern", "pattern_complex_format", "observation_type",
                                    "dtype_configs"};
  for (const auto& field : fields::kNames) names.emplace_back(field.key);
  names.insert(names.end(), {"num_tensor_args_to_observation_type", "input_type_to_index", "ops"});
  node.allow_only(names);
  auto config = c10::make_intrusive<BackendPatternConfig>();
  read_patterns(node, *config);
  config->set_observation_type(read_observation_type(node["observation_type"]));
  for (const auto& element : node["dtype_configs"].elements("an array of DTypeConfigs")) {
    config->add_dtype_config(read_dtype_config(element));
  }
  for (const auto& field : fields::kNames) {
    if (const auto name = node[field.key]) {
      ((*config).*field.set)(name.as<std::string>("the name of a Python object"));
    }
  }
  if (const auto types = node["num_tensor_args_to_observation_type"]) {
    BackendPatternConfig::NumTensorArgsToObservationType map;
    for (const auto& [name, type] : types.members("an object")) {
      const int64_t count = read_count(name, type);
      map.insert(count, static_cast<int64_t>(read_observation_type(type)));
    }
    config->set_num_tensor_args_to_observation_type(map);
  }
  if (const auto inputs = node["input_type_to_index"]) {
    BackendPatternConfig::InputTypeToIndex map;
    for (const auto& [name, index] : inputs.members("an object")) {
      map.insert(name, index.as<int64_t>("an integer"));
    }
    config->set_input_type_to_index(map);
  }
  if (const auto list = node["ops"]) {
    BackendPatternConfig::Ops ops;
    for (const auto& op : list.elements("an array of names")) {
      ops.push_back(op.as<std::string>("the name of an op"));
    }
    const size_t pairs = config->dtype_configs().size();
    list.check(ops.size() <= 1 || ops.size() == pairs, "wanted ", json::kWantedOps, ops.size(),
               " for ", pairs);
    config->set_ops(std::move(ops));
  }
  return config;
}

json::Value parse(const std::string& text) {
  try {
    return json::parse(text);
  } catch (const json::Error& error) {
    TORCH_CHECK_VALUE(false, "qnative: from_json: ", error.what());
  }
}

}  // namespace

c10::intrusive_ptr<BackendConfig> BackendConfig::from_json(const std::string& text) {
  const json::Value document = parse(text);
  const Node root(&document, Node::kRoot);
  // First: the valid fields depend on it.
  const auto version = root["version"];
  const std::string wanted = std::to_string(json::kVersion);
  if (version.as<int64_t>(wanted) != json::kVersion) version.refuse(wanted);
  root.allow_only({"version", "name", "configs"});
  auto config = c10::make_intrusive<BackendConfig>(root["name"].as<std::string>("a name"));
  for (const auto& row : root["configs"].elements("an array of rows")) {
    auto pattern_config = read_row(row);
    const Pattern key = row.within([&] { return pattern_config->pattern_key(); });
    const auto field = row[pattern_config->pattern() ? "pattern" : "pattern_complex_format"];
    field.check(!config->find(key), "another row has the pattern ",
                text::pattern(*pattern_config, key));
    config->set_entry(key, std::move(pattern_config));
  }
  return config;
}

}  // namespace qnative
