#include <torch/library.h>

#include "qnative/config.h"
#include "qnative/registry.h"
#include "state.h"
#include "values.h"

// The TorchScript classes. In TorchScript and in plain torch.classes a dtype and an ObservationType
// are int, a pattern is a str or a tuple. Methods that begin with an underscore serve the Python
// package qnative.backend_config.
namespace qnative {
namespace {

using c10::IValue;
using torch::arg;
using Constraints = c10::intrusive_ptr<DTypeWithConstraints>;
using DTypes = c10::intrusive_ptr<DTypeConfig>;
using PatternConfig = c10::intrusive_ptr<BackendPatternConfig>;
using Config = c10::intrusive_ptr<BackendConfig>;
using Name = BackendPatternConfig::Name;

// Methods of every class: saving, equality, identity, and tracing_mode(), which lets torch.export
// accept an object without a fake class.
template <typename T>
void def_common(torch::class_<T>& cls) {
  using Self = c10::intrusive_ptr<T>;
  cls.def_pickle([](const Self& self) -> IValue { return state::save(*self); },
                 [](const IValue& saved) -> Self { return state::load<T>(saved); });
  cls.def("__eq__", [](const Self& self, const Self& other) { return *self == *other; });
  cls.def("__ne__", [](const Self& self, const Self& other) { return !(*self == *other); });
  cls.def("tracing_mode", [](const Self&) -> std::string { return "real"; });
  // A new object that holds the same lists, dicts and objects.
  cls.def("_shallow_copy", [](const Self& self) { return c10::make_intrusive<T>(*self); });
  cls.def("_id", [](const Self& self) { return reinterpret_cast<int64_t>(self.get()); });
}

// from_dict is a method, called as DTypeConfig().from_dict(dict): TorchScript cannot save a call of
// a static method.
template <typename T>
void def_dict(torch::class_<T>& cls) {
  using Self = c10::intrusive_ptr<T>;
  if constexpr (std::is_same_v<T, DTypeConfig>) {
    cls.def("to_dict", &T::to_dict);
  } else {
    cls.def("to_dict", &T::to_dict, "", {arg("with_ops") = false});
  }
  cls.def("from_dict", [](const Self&, const c10::Dict<std::string, IValue>& dict) -> Self {
    return T::from_dict(dict);
  });
}

std::optional<int64_t> to_int(std::optional<at::ScalarType> dtype) {
  return dtype ? std::optional(static_cast<int64_t>(*dtype)) : std::nullopt;
}

DTypeArg dtype_arg(const IValue& value, const std::string& what) {
  auto constraints = values::to_object<DTypeWithConstraints>(value);
  return constraints ? DTypeArg(std::move(constraints)) : DTypeArg(values::to_dtype(value, what));
}

template <auto member>
void def_number(torch::class_<DTypeWithConstraints>& cls, const std::string& name) {
  cls.def_property(
      name, [](const Constraints& self) -> std::optional<at::Scalar> { return (*self).*member; },
      [name](const Constraints& self, const std::optional<at::Scalar>& value) {
        (*self).*member = values::to_number(value, name);
      });
}

void bind_constraints(torch::Library& m) {
  auto cls = m.class_<DTypeWithConstraints>("DTypeWithConstraints");
  cls.def(torch::init([](const IValue& dtype, const std::optional<at::Scalar>& quant_min,
                         const std::optional<at::Scalar>& quant_max,
                         const std::optional<at::Scalar>& scale_min,
                         const std::optional<at::Scalar>& scale_max, std::optional<double> scale,
                         std::optional<int64_t> zero_point) {
            auto self = c10::make_intrusive<DTypeWithConstraints>(values::to_dtype(dtype, "dtype"));
            self->quant_min_lower_bound = values::to_number(quant_min, "quant_min_lower_bound");
            self->quant_max_upper_bound = values::to_number(quant_max, "quant_max_upper_bound");
            self->scale_min_lower_bound = values::to_number(scale_min, "scale_min_lower_bound");
            self->scale_max_upper_bound = values::to_number(scale_max, "scale_max_upper_bound");
            self->scale_exact_match = scale;
            self->zero_point_exact_match = zero_point;
            return self;
          }),
          "",
          {arg("dtype") = IValue(), arg("quant_min_lower_bound") = IValue(),
           arg("quant_max_upper_bound") = IValue(), arg("scale_min_lower_bound") = IValue(),
           arg("scale_max_upper_bound") = IValue(), arg("scale_exact_match") = IValue(),
           arg("zero_point_exact_match") = IValue()});
  cls.def_property(
      "dtype", [](const Constraints& self) { return to_int(self->dtype); },
      [](const Constraints& self, std::optional<int64_t> dtype) {
        self->dtype = values::to_dtype(dtype, "dtype");
      });
  def_number<&DTypeWithConstraints::quant_min_lower_bound>(cls, "quant_min_lower_bound");
  def_number<&DTypeWithConstraints::quant_max_upper_bound>(cls, "quant_max_upper_bound");
  def_number<&DTypeWithConstraints::scale_min_lower_bound>(cls, "scale_min_lower_bound");
  def_number<&DTypeWithConstraints::scale_max_upper_bound>(cls, "scale_max_upper_bound");
  cls.def_readwrite("scale_exact_match", &DTypeWithConstraints::scale_exact_match);
  cls.def_readwrite("zero_point_exact_match", &DTypeWithConstraints::zero_point_exact_match);
  def_common(cls);
}

template <auto get_dtype, auto get, auto set>
void def_dtype(torch::class_<DTypeConfig>& cls, const std::string& name) {
  cls.def_property(name, [](const DTypes& self) { return to_int((self.get()->*get_dtype)()); });
  cls.def_property(
      name + "_with_constraints",
      [](const DTypes& self) -> Constraints { return (self.get()->*get)(); },
      [](const DTypes& self, const Constraints& value) { (self.get()->*set)(value); });
}

void bind_dtype_config(torch::Library& m) {
  auto cls = m.class_<DTypeConfig>("DTypeConfig");
  cls.def(
      torch::init([](const IValue& input_dtype, const IValue& output_dtype,
                     const IValue& weight_dtype, std::optional<int64_t> bias_dtype,
                     std::optional<bool> is_dynamic) {
        return c10::make_intrusive<DTypeConfig>(
            dtype_arg(input_dtype, "input_dtype"), dtype_arg(output_dtype, "output_dtype"),
            dtype_arg(weight_dtype, "weight_dtype"), values::to_dtype(bias_dtype, "bias_dtype"),
            is_dynamic);
      }),
      "",
      {arg("input_dtype") = IValue(), arg("output_dtype") = IValue(),
       arg("weight_dtype") = IValue(), arg("bias_dtype") = IValue(), arg("is_dynamic") = IValue()});
  def_dtype<&DTypeConfig::input_dtype, &DTypeConfig::input_dtype_with_constraints,
            &DTypeConfig::set_input_dtype_with_constraints>(cls, "input_dtype");
  def_dtype<&DTypeConfig::output_dtype, &DTypeConfig::output_dtype_with_constraints,
            &DTypeConfig::set_output_dtype_with_constraints>(cls, "output_dtype");
  def_dtype<&DTypeConfig::weight_dtype, &DTypeConfig::weight_dtype_with_constraints,
            &DTypeConfig::set_weight_dtype_with_constraints>(cls, "weight_dtype");
  cls.def_property(
      "bias_dtype", [](const DTypes& self) { return to_int(self->bias_dtype); },
      [](const DTypes& self, std::optional<int64_t> dtype) {
        self->bias_dtype = values::to_dtype(dtype, "bias_dtype");
      });
  cls.def_readwrite("is_dynamic", &DTypeConfig::is_dynamic);
  def_dict(cls);
  def_common(cls);
}

template <auto get, auto set>
void def_name(torch::class_<BackendPatternConfig>& cls, const std::string& name) {
  const auto getter = [](const PatternConfig& self) -> Name { return (self.get()->*get)(); };
  cls.def_property(name, getter, [](const PatternConfig& self, Name value) {
    (self.get()->*set)(std::move(value));
  });
  cls.def("set_" + name, [](const PatternConfig& self, Name value) {
    (self.get()->*set)(std::move(value));
    return self;
  });
}

template <auto get, auto set>
void def_pattern(torch::class_<BackendPatternConfig>& cls, const std::string& name) {
  const auto getter = [](const PatternConfig& self) {
    return values::from_pattern((self.get()->*get)());
  };
  cls.def_property(name, getter, [name](const PatternConfig& self, const IValue& value) {
    (self.get()->*set)(values::to_pattern(value, name));
  });
  cls.def("set_" + name, [name](const PatternConfig& self, const IValue& value) {
    (self.get()->*set)(values::to_pattern(value, name));
    return self;
  });
}

// The getter returns the container itself, so that TorchScript can change it in place. Python gets
// a copy, hence _assign_* (new contents for all configs that share it) and _share_*.
template <typename Container, auto get, auto set>
void def_container(torch::class_<BackendPatternConfig>& cls, const std::string& name) {
  const auto getter = [](const PatternConfig& self) -> Container { return (self.get()->*get)(); };
  cls.def_property(name, getter, [](const PatternConfig& self, const Container& value) {
    (self.get()->*set)(value);
  });
  cls.def("set_" + name, [](const PatternConfig& self, const Container& value) {
    (self.get()->*set)(value);
    return self;
  });
  cls.def("_share_" + name, [](const PatternConfig& self, const PatternConfig& other) {
    (self.get()->*set)((other.get()->*get)());
  });
  cls.def("_assign_" + name, [](const PatternConfig& self, const Container& value) {
    // Sets them in a temporary config first, to check the values before anything changes.
    (c10::make_intrusive<BackendPatternConfig>().get()->*set)(value);
    Container shared = (self.get()->*get)();
    shared.clear();
    for (const auto& element : value) {
      if constexpr (std::is_same_v<Container, BackendPatternConfig::DTypeConfigs>) {
        shared.push_back(element);
      } else {
        shared.insert(element.key(), element.value());
      }
    }
  });
  cls.def("_id_" + name, [](const PatternConfig& self) {
    return reinterpret_cast<int64_t>(IValue((self.get()->*get)()).internalToPointer());
  });
}

void bind_pattern_config(torch::Library& m) {
  using C = BackendPatternConfig;
  auto cls = m.class_<C>("BackendPatternConfig");
  cls.def(torch::init([](const IValue& pattern) {
            return c10::make_intrusive<C>(values::to_pattern(pattern, "pattern"));
          }),
          "", {arg("pattern") = IValue()});
  def_pattern<&C::pattern, &C::set_pattern>(cls, "pattern");
  def_pattern<&C::pattern_complex_format, &C::set_pattern_complex_format>(cls,
                                                                          "pattern_complex_format");
  const auto set_observation_type = [](const PatternConfig& self, int64_t type) {
    self->set_observation_type(observation_type_from_int(type));
    return self;
  };
  cls.def_property(
      "observation_type",
      [](const PatternConfig& self) { return static_cast<int64_t>(self->observation_type()); },
      [=](const PatternConfig& self, int64_t type) { set_observation_type(self, type); });
  cls.def("set_observation_type", set_observation_type);
  cls.def("add_dtype_config", [](const PatternConfig& self, DTypes dtype_config) {
    self->add_dtype_config(std::move(dtype_config));
    return self;
  });
  def_name<&C::root_module, &C::set_root_module>(cls, "root_module");
  def_name<&C::qat_module, &C::set_qat_module>(cls, "qat_module");
  def_name<&C::reference_quantized_module, &C::set_reference_quantized_module>(
      cls, "reference_quantized_module");
  def_name<&C::fused_module, &C::set_fused_module>(cls, "fused_module");
  def_name<&C::fuser_method, &C::set_fuser_method>(cls, "fuser_method");
  def_name<&C::root_node_getter, &C::set_root_node_getter>(cls, "root_node_getter");
  def_name<&C::extra_inputs_getter, &C::set_extra_inputs_getter>(cls, "extra_inputs_getter");
  def_container<C::DTypeConfigs, &C::dtype_configs, &C::set_dtype_configs>(cls, "dtype_configs");
  def_container<C::NumTensorArgsToObservationType, &C::num_tensor_args_to_observation_type,
                &C::set_num_tensor_args_to_observation_type>(cls,
                                                             "num_tensor_args_to_observation_type");
  def_container<C::InputTypeToIndex, &C::input_type_to_index, &C::set_input_type_to_index>(
      cls, "input_type_to_index");
  const auto set_ops = [](const PatternConfig& self, C::Ops ops) {
    self->set_ops(std::move(ops));
    return self;
  };
  cls.def_property(
      "ops", [](const PatternConfig& self) -> C::Ops { return self->ops(); },
      [=](const PatternConfig& self, C::Ops ops) { set_ops(self, std::move(ops)); });
  cls.def("set_ops", set_ops);
  cls.def("op", [](const PatternConfig& self, int64_t dtype_config) {
    TORCH_CHECK_INDEX(dtype_config >= 0, "op: the index is negative: ", dtype_config);
    return self->op(static_cast<size_t>(dtype_config));
  });
  cls.def("pattern_key", [](const PatternConfig& self) { return self->pattern_key().to_ivalue(); });
  def_dict(cls);
  def_common(cls);
}

void bind_backend_config(torch::Library& m) {
  using C = BackendConfig;
  auto cls = m.class_<C>("BackendConfig");
  cls.def(torch::init<std::string>(), "", {arg("name") = ""});
  const auto set_name = [](const Config& self, std::string name) {
    self->set_name(std::move(name));
    return self;
  };
  cls.def_property(
      "name", [](const Config& self) -> std::string { return self->name(); },
      [=](const Config& self, std::string name) { set_name(self, std::move(name)); });
  cls.def("set_name", set_name);
  cls.def("set_backend_pattern_config", [](const Config& self, PatternConfig config) {
    self->set_backend_pattern_config(std::move(config));
    return self;
  });
  cls.def("set_backend_pattern_configs",
          [](const Config& self, const std::vector<PatternConfig>& configs) {
            self->set_backend_pattern_configs(configs);
            return self;
          });
  cls.def("set_entry", [](const Config& self, const IValue& key, PatternConfig config) {
    self->set_entry(Pattern::from_ivalue(key), std::move(config));
    return self;
  });
  cls.def_property("configs", [](const Config& self) { return self->configs(); });
  // A tuple is the only container of mixed patterns that Python accepts.
  cls.def_property("keys", [](const Config& self) -> IValue {
    std::vector<IValue> keys;
    for (const auto& [key, config] : self->entries()) keys.push_back(key.to_ivalue());
    return c10::ivalue::Tuple::create(std::move(keys));
  });
  cls.def("find", [](const Config& self, const IValue& key) -> std::optional<PatternConfig> {
    auto found = self->find(Pattern::from_ivalue(key));
    return found ? std::optional(std::move(found)) : std::nullopt;
  });
  // (config, position of the DTypeConfig, reason)
  cls.def("validate", [](const Config& self) {
    std::vector<std::tuple<PatternConfig, int64_t, std::string>> rows;
    for (const auto& missing : self->validate()) {
      rows.emplace_back(missing.config, static_cast<int64_t>(missing.dtype_config), missing.reason);
    }
    return rows;
  });
  cls.def("to_json", [](const Config& self) { return self->to_json(); });
  cls.def("from_json", [](const Config&, const std::string& text) { return C::from_json(text); });
  cls.def("table", [](const Config& self) { return self->table(); });
  // (row, pattern, field, problem, remedy)
  cls.def("lint", [](const Config& self) {
    std::vector<std::tuple<int64_t, std::string, std::string, std::string, std::string>> findings;
    for (auto& f : self->lint()) {
      findings.emplace_back(static_cast<int64_t>(f.row), f.pattern, f.field, f.problem, f.remedy);
    }
    return findings;
  });
  cls.def("lint_table", [](const Config& self) { return to_table(self->lint()); });
  cls.def("erase", [](const Config& self, const IValue& key) {
    return self->erase(Pattern::from_ivalue(key));
  });
  def_dict(cls);
  def_common(cls);
}

TORCH_LIBRARY_FRAGMENT(qnative, m) {
  bind_constraints(m);
  bind_dtype_config(m);
  bind_pattern_config(m);
  bind_backend_config(m);
}

}  // namespace
}  // namespace qnative
