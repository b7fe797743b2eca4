#pragma once

#include <ATen/core/Dict.h>
#include <ATen/core/List.h>
#include <c10/core/Scalar.h>
#include <c10/core/ScalarType.h>
#include <torch/custom_class.h>

#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "qnative/export.h"

// Backend configs, which say what a backend can quantize: patterns of operators, their dtypes and
// how they are observed. The classes have the names and methods of
// torch.ao.quantization.backend_config and are registered as TorchScript classes
// torch.classes.qnative.{DTypeWithConstraints, DTypeConfig, BackendPatternConfig, BackendConfig}: a
// config can be an attribute of a ScriptModule, is saved with it, and can be read and changed from
// C++, TorchScript and Python.
//
//   auto config = c10::make_intrusive<BackendConfig>("mylib");
//   auto linear = c10::make_intrusive<BackendPatternConfig>("torch.nn.Linear");
//   linear->add_dtype_config(weighted_op_quint8_dtype_config()).set_ops({"linear"});
//   config->set_backend_pattern_config(linear);
//
// As in Python, objects, lists and dicts are held by reference: two configs that share one both see
// its changes. Saving a BackendConfig keeps shared objects shared. Objects have no locks: do not
// change one while another thread uses it.
//
// Modules, functions and callables are given by their Python name: "torch.nn.Linear",
// "operator.add", "torch.ops.aten.add.Tensor".
//
// Errors: c10::ValueError where upstream raises ValueError, else c10::Error.
namespace qnative {

enum class ObservationType : int64_t {
  // Input and output have separate observers: conv, linear, softmax.
  OUTPUT_USE_DIFFERENT_OBSERVER_AS_INPUT = 0,
  // The output uses the observer of the input: cat, max_pool2d.
  OUTPUT_SHARE_OBSERVER_WITH_INPUT = 1,
  // Neither is observed: x.shape, x.size().
  INPUT_OUTPUT_NOT_OBSERVED = 2,
};

// The name of `type` in Python, for example "OUTPUT_SHARE_OBSERVER_WITH_INPUT". Throws
// c10::ValueError for an invalid ObservationType.
QNATIVE_API const char* toString(ObservationType type);
// Throws c10::ValueError for an invalid ObservationType.
QNATIVE_API ObservationType observation_type_from_int(int64_t value);

// One operator or a (nested) sequence of operators: a tree of names.
class QNATIVE_API Pattern {
 public:
  // Deeper than any real pattern; a bound keeps a hostile file from exhausting the stack.
  static constexpr int kMaxDepth = 32;

  // One operator: the dotted name of a Python object, or, without a dot, the name of a Tensor
  // method
  // ("reshape"). If torch binds a function to several names, the pattern has the one in
  // torch.nn.functional: "torch.conv2d" becomes "torch.nn.functional.conv2d". Throws
  // c10::ValueError for an empty name.
  Pattern(const std::string& name);  // NOLINT(google-explicit-constructor)
  Pattern(const char* name) : Pattern(std::string(name)) {}

  // Pattern::tuple({"torch.nn.Linear", "torch.nn.ReLU"}): Linear, then ReLU.
  // Throws c10::ValueError for more than kMaxDepth levels of nesting.
  static Pattern tuple(std::vector<Pattern> elements);
  // From a str or nested tuples of str. Throws c10::ValueError for anything else.
  static Pattern from_ivalue(const c10::IValue& value);

  c10::IValue to_ivalue() const;

  bool is_tuple() const { return name_.empty(); }
  // Empty for a tuple.
  const std::string& name() const { return name_; }
  // Empty for a name.
  const std::vector<Pattern>& elements() const { return elements_; }

  // The reversed nested form that BackendConfig uses as key: a, (b, a), (c, (b, a)). Throws
  // c10::ValueError for a tuple that has not 2 or 3 elements.
  Pattern reversed() const;

  // "torch.cat", "(torch.nn.Linear, torch.nn.ReLU)".
  std::string str() const;

  bool operator==(const Pattern& other) const = default;
  bool operator<(const Pattern& other) const;

 private:
  Pattern() = default;

  // Levels of tuples: 0 for a name.
  int depth_ = 0;
  std::string name_;
  std::vector<Pattern> elements_;
};

// A dtype and further constraints on a QConfig. A number that is not set is no constraint.
struct QNATIVE_API DTypeWithConstraints : torch::CustomClassHolder {
  explicit DTypeWithConstraints(std::optional<at::ScalarType> dtype = std::nullopt)
      : dtype(dtype) {}

  std::optional<at::ScalarType> dtype;
  // The QConfig's quant_min and quant_max must be inside. Int or double.
  std::optional<at::Scalar> quant_min_lower_bound;
  std::optional<at::Scalar> quant_max_upper_bound;
  // The scale of the QConfig and its minimum scale (eps) must be between these. Upstream does not
  // check the upper bound.
  std::optional<at::Scalar> scale_min_lower_bound;
  std::optional<at::Scalar> scale_max_upper_bound;
  // Fixed quantization parameters, for sigmoid, tanh and the like.
  std::optional<double> scale_exact_match;
  std::optional<int64_t> zero_point_exact_match;

  bool operator==(const DTypeWithConstraints& other) const;
};

// An argument of DTypeConfig's constructor: a dtype, constraints, or nothing.
class QNATIVE_API DTypeArg {
 public:
  DTypeArg(std::optional<at::ScalarType> dtype = std::nullopt)  // NOLINT
      : constraints_(c10::make_intrusive<DTypeWithConstraints>(dtype)) {}
  DTypeArg(std::nullopt_t) : DTypeArg() {}                                            // NOLINT
  DTypeArg(at::ScalarType dtype) : DTypeArg(std::optional<at::ScalarType>(dtype)) {}  // NOLINT
  // Held by reference. Throws c10::Error for null.
  DTypeArg(c10::intrusive_ptr<DTypeWithConstraints> constraints);  // NOLINT

  const c10::intrusive_ptr<DTypeWithConstraints>& constraints() const { return constraints_; }

 private:
  c10::intrusive_ptr<DTypeWithConstraints> constraints_;
};

// One supported combination of dtypes.
class QNATIVE_API DTypeConfig : public torch::CustomClassHolder {
 public:
  explicit DTypeConfig(const DTypeArg& input_dtype = {}, const DTypeArg& output_dtype = {},
                       const DTypeArg& weight_dtype = {},
                       std::optional<at::ScalarType> bias_dtype = std::nullopt,
                       std::optional<bool> is_dynamic = std::nullopt);

  std::optional<at::ScalarType> bias_dtype;
  std::optional<bool> is_dynamic;

  std::optional<at::ScalarType> input_dtype() const { return input_->dtype; }
  std::optional<at::ScalarType> output_dtype() const { return output_->dtype; }
  std::optional<at::ScalarType> weight_dtype() const { return weight_->dtype; }

  // Never null.
  const c10::intrusive_ptr<DTypeWithConstraints>& input_dtype_with_constraints() const {
    return input_;
  }
  const c10::intrusive_ptr<DTypeWithConstraints>& output_dtype_with_constraints() const {
    return output_;
  }
  const c10::intrusive_ptr<DTypeWithConstraints>& weight_dtype_with_constraints() const {
    return weight_;
  }
  void set_input_dtype_with_constraints(const DTypeArg& dtype) { input_ = dtype.constraints(); }
  void set_output_dtype_with_constraints(const DTypeArg& dtype) { output_ = dtype.constraints(); }
  void set_weight_dtype_with_constraints(const DTypeArg& dtype) { weight_ = dtype.constraints(); }

  // Keys, each only if set: input_dtype, output_dtype, weight_dtype (DTypeWithConstraints objects),
  // bias_dtype (int), is_dynamic (bool).
  c10::Dict<std::string, c10::IValue> to_dict() const;
  // Also accepts dtypes as int. Ignores unknown keys. Throws c10::ValueError for a value of the
  // wrong type.
  static c10::intrusive_ptr<DTypeConfig> from_dict(const c10::Dict<std::string, c10::IValue>& dict);

  // Equal values, whether shared or not.
  bool operator==(const DTypeConfig& other) const;

 private:
  c10::intrusive_ptr<DTypeWithConstraints> input_;
  c10::intrusive_ptr<DTypeWithConstraints> output_;
  c10::intrusive_ptr<DTypeWithConstraints> weight_;
};

// How one pattern is quantized. Setters return *this; std::nullopt unsets.
class QNATIVE_API BackendPatternConfig : public torch::CustomClassHolder {
 public:
  using Name = std::optional<std::string>;
  using DTypeConfigs = c10::List<c10::intrusive_ptr<DTypeConfig>>;
  // Number of tensor arguments -> ObservationType as int.
  using NumTensorArgsToObservationType = c10::Dict<int64_t, int64_t>;
  // "weight", "bias" or "input" -> position among the arguments of a function.
  using InputTypeToIndex = c10::Dict<std::string, int64_t>;
  using Ops = std::vector<std::string>;

  explicit BackendPatternConfig(std::optional<Pattern> pattern = std::nullopt);

  const std::optional<Pattern>& pattern() const { return pattern_; }
  ObservationType observation_type() const { return observation_type_; }
  // The list itself, not a copy: appending to it changes every config that shares it.
  DTypeConfigs dtype_configs() const { return dtype_configs_; }
  const Name& root_module() const { return root_module_; }
  const Name& qat_module() const { return qat_module_; }
  const Name& reference_quantized_module() const { return reference_quantized_module_; }
  const Name& fused_module() const { return fused_module_; }
  const Name& fuser_method() const { return fuser_method_; }
  const Name& root_node_getter() const { return root_node_getter_; }
  const Name& extra_inputs_getter() const { return extra_inputs_getter_; }
  NumTensorArgsToObservationType num_tensor_args_to_observation_type() const {
    return num_tensor_args_to_observation_type_;
  }
  InputTypeToIndex input_type_to_index() const { return input_type_to_index_; }
  const std::optional<Pattern>& pattern_complex_format() const { return pattern_complex_format_; }

  // Not in upstream's configs: the qnative ops that run the pattern, such as "conv2d". One name for
  // all DTypeConfigs, or one per DTypeConfig in the order of dtype_configs. "free": the pattern
  // only moves, renames or measures data and needs no op. "mylib::fused_op": an op of another
  // library. Comparison ignores ops.
  const Ops& ops() const { return ops_; }
  // The op of dtype_configs()[dtype_config]; "" if there is none.
  std::string op(size_t dtype_config) const;

  // A name, or a tuple of 2 or 3 in the order of execution. Throws c10::ValueError if
  // pattern_complex_format is set: a config has only one of them.
  BackendPatternConfig& set_pattern(std::optional<Pattern> pattern);
  // Throws c10::ValueError for an invalid ObservationType.
  BackendPatternConfig& set_observation_type(ObservationType observation_type);
  // Throws c10::Error for null.
  BackendPatternConfig& add_dtype_config(c10::intrusive_ptr<DTypeConfig> dtype_config);
  // Shares the list. Throws c10::Error if an element is null.
  BackendPatternConfig& set_dtype_configs(const DTypeConfigs& dtype_configs);
  // The float module that reference_quantized_module replaces.
  BackendPatternConfig& set_root_module(Name name);
  BackendPatternConfig& set_qat_module(Name name);
  BackendPatternConfig& set_reference_quantized_module(Name name);
  BackendPatternConfig& set_fused_module(Name name);
  // A Python function (is_qat, module, module[, module]) -> fused module.
  BackendPatternConfig& set_fuser_method(Name name);
  BackendPatternConfig& set_root_node_getter(Name name);
  BackendPatternConfig& set_extra_inputs_getter(Name name);
  // Shares the dict. Throws c10::ValueError for an invalid ObservationType.
  BackendPatternConfig& set_num_tensor_args_to_observation_type(
      const NumTensorArgsToObservationType& map);
  // Shares the dict.
  BackendPatternConfig& set_input_type_to_index(const InputTypeToIndex& map);
  // The reversed nested form, of any shape. Throws c10::ValueError if pattern is set.
  BackendPatternConfig& set_pattern_complex_format(std::optional<Pattern> pattern);

  BackendPatternConfig& set_ops(Ops ops);

  // The reversed nested form, which is the key of this config in a BackendConfig. Throws
  // c10::ValueError without a pattern, and for a tuple that has not 2 or 3 elements.
  Pattern pattern_key() const;

  // Keys in this order, the first two always, the others only if set: observation_type (int),
  // dtype_configs (list of dicts), pattern (str or tuple), root_module, qat_module,
  // reference_quantized_module_for_root, fused_module, fuser_method, root_node_getter,
  // extra_inputs_getter (str), num_tensor_args_to_observation_type, input_type_to_index (dict),
  // pattern_complex_format (str or tuple). With `with_ops` also "ops" (list of str) if there are
  // any; upstream's dicts have no such key.
  c10::Dict<std::string, c10::IValue> to_dict(bool with_ops = false) const;
  // dtype_configs may have dicts and DTypeConfig objects. Ignores unknown keys. Throws
  // c10::ValueError for a value of the wrong type.
  static c10::intrusive_ptr<BackendPatternConfig> from_dict(
      const c10::Dict<std::string, c10::IValue>& dict);

  // Equal values, whether shared or not; ops are not compared.
  bool operator==(const BackendPatternConfig& other) const;

 private:
  std::optional<Pattern> pattern_;
  ObservationType observation_type_ = ObservationType::OUTPUT_USE_DIFFERENT_OBSERVER_AS_INPUT;
  DTypeConfigs dtype_configs_;
  Name root_module_;
  Name qat_module_;
  Name reference_quantized_module_;
  Name fused_module_;
  Name fuser_method_;
  Name root_node_getter_;
  Name extra_inputs_getter_;
  NumTensorArgsToObservationType num_tensor_args_to_observation_type_;
  InputTypeToIndex input_type_to_index_;
  std::optional<Pattern> pattern_complex_format_;
  Ops ops_;
};

// Why no kernel runs a DTypeConfig of a pattern.
enum class MissingKernelCause : int64_t {
  // No PyTorch program has the pattern.
  IMPOSSIBLE_PATTERN = 0,
  // The row names no op.
  NO_OP = 1,
  // The op that it names is not registered with a CPU kernel.
  NO_KERNEL = 2,
};

// A DTypeConfig of a pattern that no kernel runs.
struct QNATIVE_API MissingKernel {
  c10::intrusive_ptr<BackendPatternConfig> config;
  // Position in config->dtype_configs().
  size_t dtype_config;
  MissingKernelCause cause;
  // The cause in words, with the name of the pattern or the op.
  std::string reason;
};

// A problem in a row of a BackendConfig, and its remedy.
struct QNATIVE_API Finding {
  // Position in BackendConfig::configs().
  size_t row;
  // Its pattern as Pattern::str() gives it; "" if it has none.
  std::string pattern;
  // "root_module", "dtype_configs[0].output_dtype_with_constraints.scale_exact_match"
  std::string field;
  std::string problem;
  std::string remedy;

  bool operator==(const Finding& other) const = default;
};

// A line of titles, then one line per finding; "" without findings.
QNATIVE_API std::string to_table(const std::vector<Finding>& findings);

// The patterns that a backend can quantize, in order.
class QNATIVE_API BackendConfig : public torch::CustomClassHolder {
 public:
  using Entry = std::pair<Pattern, c10::intrusive_ptr<BackendPatternConfig>>;

  explicit BackendConfig(std::string name = "") : name_(std::move(name)) {}

  const std::string& name() const { return name_; }
  BackendConfig& set_name(std::string name);

  // Holds `config` by reference under config->pattern_key(). Replaces a config with the same key,
  // in its place. Throws what pattern_key() throws, and c10::Error for null; with several configs
  // the message begins with the position of the wrong one, "configs[1]: ".
  BackendConfig& set_backend_pattern_config(c10::intrusive_ptr<BackendPatternConfig> config);
  BackendConfig& set_backend_pattern_configs(
      const std::vector<c10::intrusive_ptr<BackendPatternConfig>>& configs);
  // The same under any key. Throws c10::Error for null.
  BackendConfig& set_entry(Pattern key, c10::intrusive_ptr<BackendPatternConfig> config);

  std::vector<c10::intrusive_ptr<BackendPatternConfig>> configs() const;
  // Configs with their keys: pattern_key() at the time the config was set.
  const std::vector<Entry>& entries() const { return entries_; }
  // Null if no config has this key.
  c10::intrusive_ptr<BackendPatternConfig> find(const Pattern& key) const;
  // Returns whether there was one.
  bool erase(const Pattern& key);

  // Every DTypeConfig of every pattern that cannot run, with the cause.
  std::vector<MissingKernel> validate() const;

  // Everything that looks wrong, row by row: findings of validate(); incomplete rows; constraints
  // that can never hold; duplicate patterns and DTypeConfigs, or ones behind another that accepts
  // everything they accept; fused patterns without a row for their first part or for the fused
  // module; modules that FX cannot convert without a root module. A wrong config is no error.
  std::vector<Finding> lint() const;

  // {"name": str, "configs": [dict of BackendPatternConfig::to_dict]}
  c10::Dict<std::string, c10::IValue> to_dict(bool with_ops = false) const;
  // Both keys are optional; configs may have dicts and BackendPatternConfig objects. Throws
  // c10::ValueError for a value of the wrong type, with the position of its row.
  static c10::intrusive_ptr<BackendConfig> from_dict(
      const c10::Dict<std::string, c10::IValue>& dict);

  // JSON by docs/backend_config.schema.json, the same text in every call: one line per DTypeConfig
  // and per field that is set, ops included. Does not keep shared objects shared. Throws
  // c10::ValueError with the row and the field for a config that from_json() would reject.
  std::string to_json() const;
  // Throws c10::ValueError with the place for another version, unknown and missing fields, values
  // of the wrong type, and two rows with the same pattern.
  static c10::intrusive_ptr<BackendConfig> from_json(const std::string& text);

  // For reading: a line with totals, a blank line, titles, then one line per pair of pattern and
  // DTypeConfig.
  std::string table() const;

  // Equal names and equal configs under equal keys, in the same order.
  bool operator==(const BackendConfig& other) const;

 private:
  std::string name_;
  std::vector<Entry> entries_;
  std::map<Pattern, size_t> positions_;
};

}  // namespace qnative
