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

// What a backend can quantize, as data: which patterns of operators, with which dtypes, observed in
// which way. The classes are those of torch.ao.quantization.backend_config, name for name, and are
// registered as TorchScript classes torch.classes.qnative.{DTypeWithConstraints, DTypeConfig,
// BackendPatternConfig, BackendConfig}: a config can be an attribute of a ScriptModule, is saved
// with it, and is read and changed from C++, TorchScript and Python alike.
//
// As in Python, objects, lists and dicts are held by reference: what two configs share, both see
// changed. Saving a BackendConfig keeps what is shared inside it shared.
//
// Modules, functions and callables are given by their Python name: "torch.nn.Linear",
// "operator.add", "torch.ops.aten.add.Tensor".
//
// Errors: c10::ValueError for values that upstream rejects with ValueError too, else c10::Error.
namespace qnative {

enum class ObservationType : int64_t {
  // Input and output have observers of their own: conv, linear, softmax.
  OUTPUT_USE_DIFFERENT_OBSERVER_AS_INPUT = 0,
  // The output uses the observer of the input: cat, max_pool2d.
  OUTPUT_SHARE_OBSERVER_WITH_INPUT = 1,
  // Neither is observed: x.shape, x.size().
  INPUT_OUTPUT_NOT_OBSERVED = 2,
};

// The name of `type` in Python, for example "OUTPUT_SHARE_OBSERVER_WITH_INPUT". Throws
// c10::ValueError for what is no ObservationType.
QNATIVE_API const char* toString(ObservationType type);
// Throws c10::ValueError for a number that is no ObservationType.
QNATIVE_API ObservationType observation_type_from_int(int64_t value);

// One operator or a (nested) sequence of operators: a tree of names.
class QNATIVE_API Pattern {
 public:
  // Deeper than any real pattern; a bound keeps a hostile file from exhausting the stack.
  static constexpr int kMaxDepth = 32;

  // One operator: a dotted name of a Python object, or, without a dot, the name of a Tensor method
  // ("reshape"). Of a function that torch binds to several names, the one in
  // torch.nn.functional is kept: "torch.conv2d" becomes "torch.nn.functional.conv2d". Throws
  // c10::ValueError if empty.
  Pattern(const std::string& name);  // NOLINT(google-explicit-constructor)
  Pattern(const char* name) : Pattern(std::string(name)) {}

  // Pattern::tuple({"torch.nn.Linear", "torch.nn.ReLU"}): Linear, then ReLU.
  // Throws c10::ValueError if nested more than kMaxDepth levels deep.
  static Pattern tuple(std::vector<Pattern> elements);
  // From a str or nested tuples of str. Throws c10::ValueError for anything else.
  static Pattern from_ivalue(const c10::IValue& value);

  c10::IValue to_ivalue() const;

  bool is_tuple() const { return name_.empty(); }
  // Empty for a tuple.
  const std::string& name() const { return name_; }
  // Empty for a name.
  const std::vector<Pattern>& elements() const { return elements_; }

  // The reversed nested form in which BackendConfig keeps patterns: a, (b, a), (c, (b, a)). Throws
  // c10::ValueError for a tuple of another length.
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

// A dtype and what a QConfig must fulfil beyond it. Numbers that are not set do not constrain.
struct QNATIVE_API DTypeWithConstraints : torch::CustomClassHolder {
  explicit DTypeWithConstraints(std::optional<at::ScalarType> dtype = std::nullopt)
      : dtype(dtype) {}

  std::optional<at::ScalarType> dtype;
  // The QConfig's quant_min and quant_max must lie inside. Int or double.
  std::optional<at::Scalar> quant_min_lower_bound;
  std::optional<at::Scalar> quant_max_upper_bound;
  // The scale, and the least scale (eps) of the QConfig, must lie between. Upstream does not check
  // the upper bound.
  std::optional<at::Scalar> scale_min_lower_bound;
  std::optional<at::Scalar> scale_max_upper_bound;
  // Fixed quantization parameters, as sigmoid and tanh need them.
  std::optional<double> scale_exact_match;
  std::optional<int64_t> zero_point_exact_match;

  bool operator==(const DTypeWithConstraints& other) const;
};

// A dtype, constraints, or nothing: what the constructor of DTypeConfig accepts.
class QNATIVE_API DTypeArg {
 public:
  DTypeArg(std::optional<at::ScalarType> dtype = std::nullopt)  // NOLINT
      : constraints_(c10::make_intrusive<DTypeWithConstraints>(dtype)) {}
  DTypeArg(std::nullopt_t) : DTypeArg() {}                                            // NOLINT
  DTypeArg(at::ScalarType dtype) : DTypeArg(std::optional<at::ScalarType>(dtype)) {}  // NOLINT
  // Kept by reference. Throws c10::Error for null.
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

  // Keys, each only where set: input_dtype, output_dtype, weight_dtype (the DTypeWithConstraints
  // objects), bias_dtype (int), is_dynamic (bool).
  c10::Dict<std::string, c10::IValue> to_dict() const;
  // Accepts dtypes (int) too. Unknown keys are ignored. Throws c10::ValueError for a value of the
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

  // What upstream's configs do not say: the qnative ops that run the pattern, such as "conv2d". One
  // name for every DTypeConfig, or a name for each, in the order of dtype_configs. "free": the
  // pattern moves, renames or measures data, and needs no op. "mylib::fused_op": an op of another
  // library. Configs are equal whatever their ops.
  const Ops& ops() const { return ops_; }
  // The op of dtype_configs()[dtype_config]; "" if none is named.
  std::string op(size_t dtype_config) const;

  // A name, or a tuple of 2 or 3 in the order of execution. Throws c10::ValueError when
  // pattern_complex_format is set: only one of them can be.
  BackendPatternConfig& set_pattern(std::optional<Pattern> pattern);
  // Throws c10::ValueError for what is no ObservationType.
  BackendPatternConfig& set_observation_type(ObservationType observation_type);
  // Throws c10::Error for null.
  BackendPatternConfig& add_dtype_config(c10::intrusive_ptr<DTypeConfig> dtype_config);
  // Shares the list. Throws c10::Error if one of them is null.
  BackendPatternConfig& set_dtype_configs(const DTypeConfigs& dtype_configs);
  // The float module to be replaced by reference_quantized_module.
  BackendPatternConfig& set_root_module(Name name);
  BackendPatternConfig& set_qat_module(Name name);
  BackendPatternConfig& set_reference_quantized_module(Name name);
  BackendPatternConfig& set_fused_module(Name name);
  // A Python function (is_qat, module, module[, module]) -> fused module.
  BackendPatternConfig& set_fuser_method(Name name);
  BackendPatternConfig& set_root_node_getter(Name name);
  BackendPatternConfig& set_extra_inputs_getter(Name name);
  // Shares the dict. Throws c10::ValueError for a value that is no ObservationType.
  BackendPatternConfig& set_num_tensor_args_to_observation_type(
      const NumTensorArgsToObservationType& map);
  // Shares the dict.
  BackendPatternConfig& set_input_type_to_index(const InputTypeToIndex& map);
  // The reversed nested form, of any shape. Throws c10::ValueError when pattern is set.
  BackendPatternConfig& set_pattern_complex_format(std::optional<Pattern> pattern);

  BackendPatternConfig& set_ops(Ops ops);

  // The reversed nested form under which BackendConfig keeps this config. Throws c10::ValueError
  // without a pattern, and for a tuple of a length other than 2 or 3.
  Pattern pattern_key() const;

  // Keys in this order, the first two always, the others only where set: observation_type (int),
  // dtype_configs (list of dicts), pattern (str or tuple), root_module, qat_module,
  // reference_quantized_module_for_root, fused_module, fuser_method, root_node_getter,
  // extra_inputs_getter (str), num_tensor_args_to_observation_type, input_type_to_index (dict),
  // pattern_complex_format (str or tuple). `with_ops`: "ops" (list of str) too, if there are any;
  // upstream's dicts have no such key.
  c10::Dict<std::string, c10::IValue> to_dict(bool with_ops = false) const;
  // dtype_configs may hold dicts and DTypeConfig objects. Unknown keys are ignored. Throws
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

// Something wrong with a row of a BackendConfig, and what to do about it.
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

// One line for each finding below a line of titles; "" for none.
QNATIVE_API std::string to_table(const std::vector<Finding>& findings);

// The patterns that a backend can quantize, in order.
class QNATIVE_API BackendConfig : public torch::CustomClassHolder {
 public:
  using Entry = std::pair<Pattern, c10::intrusive_ptr<BackendPatternConfig>>;

  explicit BackendConfig(std::string name = "") : name_(std::move(name)) {}

  const std::string& name() const { return name_; }
  BackendConfig& set_name(std::string name);

  // Keeps `config` (by reference) under config->pattern_key(). A config already there is replaced
  // and its place kept. Throws what pattern_key() throws, and c10::Error for null; of several, the
  // message begins with the position of the one that is wrong, "configs[1]: ".
  BackendConfig& set_backend_pattern_config(c10::intrusive_ptr<BackendPatternConfig> config);
  BackendConfig& set_backend_pattern_configs(
      const std::vector<c10::intrusive_ptr<BackendPatternConfig>>& configs);
  // The same under a key of the caller's choice. Throws c10::Error for null.
  BackendConfig& set_entry(Pattern key, c10::intrusive_ptr<BackendPatternConfig> config);

  std::vector<c10::intrusive_ptr<BackendPatternConfig>> configs() const;
  // Configs with their keys: reversed nested patterns as they were when the config was set.
  const std::vector<Entry>& entries() const { return entries_; }
  // Null if there is no config under this key.
  c10::intrusive_ptr<BackendPatternConfig> find(const Pattern& key) const;
  // Whether there was one.
  bool erase(const Pattern& key);

  // Every DTypeConfig of every pattern that cannot run: its row names no op, names one that is not
  // registered with a CPU kernel, or no PyTorch program has the pattern.
  std::vector<MissingKernel> validate() const;

  // Everything that looks wrong, row by row: what validate() finds; rows that are half built;
  // constraints that can never hold; patterns and DTypeConfigs that stand there twice, or behind
  // one that takes all they take; fused patterns without a row for their first part or for the
  // fused module; modules that FX cannot convert for want of a root module. What is wrong is what
  // it gives: there are no errors.
  std::vector<Finding> lint() const;

  // {"name": str, "configs": [dict of BackendPatternConfig::to_dict]}
  c10::Dict<std::string, c10::IValue> to_dict(bool with_ops = false) const;
  // Both keys are optional; configs may hold dicts and BackendPatternConfig objects. Throws
  // c10::ValueError for a value of the wrong type, with the position of its row.
  static c10::intrusive_ptr<BackendConfig> from_dict(
      const c10::Dict<std::string, c10::IValue>& dict);

  // JSON by docs/backend_config.schema.json, the same text at each call: a line for each
  // DTypeConfig and for each field that is set, ops included. What configs share is not kept.
  // Throws c10::ValueError that names the row and the field for what from_json() would refuse.
  std::string to_json() const;
  // Throws c10::ValueError that says where: for JSON of another version, unknown and missing
  // fields, values of the wrong type, and two rows with one pattern.
  static c10::intrusive_ptr<BackendConfig> from_json(const std::string& text);

  // Two lines on the whole, then a line for each pair of pattern and DTypeConfig, for reading.
  std::string table() const;

  // Equal names and equal configs under equal keys, in the same order.
  bool operator==(const BackendConfig& other) const;

 private:
  std::string name_;
  std::vector<Entry> entries_;
  std::map<Pattern, size_t> positions_;
};

}  // namespace qnative
