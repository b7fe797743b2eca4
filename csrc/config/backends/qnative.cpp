#include "qnative/algebra.h"
#include "qnative/backends.h"
#include "rows.h"

// The rows that native lacks and models have.
namespace qnative {
namespace {

using families::Configs;
using families::DTypeConfigs;
using families::kFree;
using families::kFunctional;
using families::kNN;
using families::kOwnObserver;
using families::kSharedObserver;
using families::list;
using families::Row;

std::vector<Row> lookups(const std::string& prefix, const std::vector<std::string>& names) {
  std::vector<Row> rows;
  rows.reserve(names.size());
  for (const auto& name : names) rows.push_back({.pattern = prefix + name, .op = "lookup"});
  return rows;
}

// Functions of one tensor, and powers by a number. There are none for functions whose values
// depend on digits that 8 bits do not hold: log, rsqrt and reciprocal near 0, tan, logit, and those
// with steps (floor, round, sign).
Configs elementwise(const DTypeConfigs& dtype_configs) {
  std::vector<Row> rows = lookups(kNN, {"SiLU", "GELU", "Mish", "Softplus", "SELU", "CELU",
                                        "LogSigmoid", "Hardshrink", "Softshrink", "Threshold"});
  families::append(
      rows, lookups(kFunctional, {"silu", "gelu", "mish", "softplus", "selu", "celu", "logsigmoid",
                                  "hardshrink", "softshrink", "threshold"}));
  const std::vector<std::string> functions = {
      "abs",  "acos",  "asin",  "asinh", "atan", "cos", "cosh", "erf",  "erfc",  "exp",
      "exp2", "expm1", "log1p", "neg",   "pow",  "sin", "sinh", "sqrt", "square"};
  families::append(rows, lookups("torch.", functions));
  families::append(rows, lookups("", functions));
  families::append(rows, lookups("operator.", {"neg", "pow"}));
  return families::build(rows, dtype_configs);
}

// Differences run in the op of sums; quotients by a number in a table.
Configs arithmetic(const DTypeConfigs& dtype_configs) {
  Configs configs = families::arithmetic(dtype_configs, {{"sub", "add"}});
  families::append(configs,
                   families::build({{"torch.div", "lookup"}, {"operator.truediv", "lookup"}},
                                   kOwnObserver, dtype_configs));
  return configs;
}

// Products with a constant matrix, such as GPT-2's layers, run as linear layers.
Configs constant_products(const DTypeConfigs& dtype_configs) {
  return families::build(
      {{.pattern = "torch.addmm", .op = "linear", .inputs = {{"bias", 0}, {"weight", 2}}}},
      dtype_configs);
}

// 4-bit weights: the linear counterpart of quint4x2 tables. A row of its own, since those of native
// stay what they are; it stands for nn.Linear and F.linear too.
Configs linear_4bit(const DTypeConfigs& dtype_configs) {
  return families::build({{.pattern = "torch.ops.aten.linear.default",
                           .op = "linear",
                           .inputs = {{"weight", 1}, {"bias", 2}}}},
                         dtype_configs);
}

Configs products(const DTypeConfigs& dtype_configs) {
  return families::build({{"torch.bmm", "matmul"}}, kOwnObserver, dtype_configs);
}

Configs attention(const DTypeConfigs& dtype_configs) {
  return families::build(
      {{.pattern = kFunctional + "scaled_dot_product_attention", .op = "attention"}},
      dtype_configs);
}

Configs rms_norm(const DTypeConfigs& dtype_configs) {
  return families::build(
      {{.pattern = kFunctional + "rms_norm", .op = "rms_norm", .inputs = {{"weight", 2}}}},
      dtype_configs);
}

// What carries and feeds the residual stream of a transformer, with int16 values between layers of
// 8 bits. Named by aten ops: it exists in exported graphs only.
Configs words_from_weights(const DTypeConfigs& dtype_configs) {
  std::vector<Row> rows;
  for (const std::string op : {"linear", "conv1d", "conv2d", "conv3d"}) {
    rows.push_back({.pattern = "torch.ops.aten." + op + ".default",
                    .op = op,
                    .inputs = {{"weight", 1}, {"bias", 2}}});
  }
  return families::build(rows, dtype_configs);
}

Configs words(const DTypeConfigs& dtype_configs) {
  return families::build({{.pattern = "torch.ops.aten.add.Tensor", .op = "add"},
                          {.pattern = "torch.ops.aten.mul.Tensor", .op = "mul"},
                          {.pattern = "torch.ops.aten.layer_norm.default", .op = "layer_norm"},
                          {.pattern = "torch.ops.aten.rms_norm.default", .op = "rms_norm"}},
                         dtype_configs);
}

Configs joins_of_words(const DTypeConfigs& dtype_configs) {
  return families::build({{"torch.ops.aten.cat.default", "cat"}}, kSharedObserver, dtype_configs);
}

// They move values.
Configs moves(const DTypeConfigs& dtype_configs) {
  return families::build({{"torch.nn.Flatten", kFree},
                          {"torch.nn.ChannelShuffle", kFree},
                          {"torch.permute", kFree},
                          {"torch.reshape", kFree},
                          {"torch.roll", kFree},
                          {"torch.flip", kFree},
                          {"torch.tile", kFree},
                          {"expand", kFree},
                          {"expand_as", kFree},
                          {"flatten", kFree},
                          {"flip", kFree},
                          {"narrow", kFree},
                          {"reshape_as", kFree},
                          {"roll", kFree},
                          {"tile", kFree},
                          {"view_as", kFree}},
                         kSharedObserver, dtype_configs);
}

}  // namespace

c10::intrusive_ptr<BackendConfig> get_qnative_backend_config() {
  const DTypeConfigs default_op = list({default_op_quint8_dtype_config()});
  static const auto without_weight =
      c10::make_intrusive<DTypeConfig>(at::kQUInt8, at::kFloat, DTypeArg{}, std::nullopt, true);
  static const auto dynamic_int4 =
      c10::make_intrusive<DTypeConfig>(at::kQUInt8, at::kFloat, at::kQUInt4x2, at::kFloat, true);
  const auto own = families::backend(
      "qnative",
      {{elementwise, default_op},
       {arithmetic, default_op},
       {moves, default_op},
       {constant_products,
        list({weighted_op_quint8_dtype_config(), default_dynamic_int8_dtype_config(),
              default_dynamic_float16_dtype_config(), dynamic_int4})},
       {families::conv,
        list({weighted_op_quint8_dtype_config(), default_dynamic_int8_dtype_config()})},
       {products, default_op},
       {rms_norm, default_op},
       {words_from_weights, list({dtype_config("weighted_op_int16_output_dtype_config")})},
       {words, list({dtype_config("int16_input_quint8_output_dtype_config"),
                     dtype_config("default_op_int16_dtype_config")})},
       {joins_of_words, list({dtype_config("default_op_int16_dtype_config")})},
       {attention, list({default_op_quint8_dtype_config(), without_weight})}});
  // Its row has int16 outputs too.
  const auto four_bit = families::backend("qnative", {{linear_4bit, list({dynamic_int4})}});
  auto config = unite(*unite(*get_native_backend_config(), *own), *four_bit);
  config->set_name("qnative");
  return config;
}

}  // namespace qnative
