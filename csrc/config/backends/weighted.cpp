#include "rows.h"

namespace qnative::families {

namespace {

Row linear_row(const std::string& pattern, const std::string& qat_module = "") {
  return {.pattern = pattern,
          .op = "linear",
          .root_module = kNN + "Linear",
          .reference_quantized_module = kReference + "Linear",
          .qat_module = qat_module};
}

std::vector<Row> linear_rows() {
  return {
      linear_row(kNN + "Linear", kQat + "Linear"),
      linear_row(kQat + "Linear"),
      {.pattern = kFunctional + "linear", .op = "linear", .inputs = {{"weight", 1}, {"bias", 2}}},
  };
}

Configs embedding_of(const std::string& module, const std::string& op,
                     const DTypeConfigs& dtype_configs) {
  Row weighted = {.pattern = kNN + module,
                  .op = op,
                  .root_module = kNN + module,
                  .reference_quantized_module = kReference + module};
  Row qat = weighted;
  weighted.qat_module = kQat + module;
  qat.pattern = kQat + module;
  return build({weighted, qat}, dtype_configs);
}

}  // namespace

Configs linear_alone(const DTypeConfigs& dtype_configs) {
  return build(linear_rows(), dtype_configs);
}

Configs linear(const DTypeConfigs& dtype_configs) {
  const std::string module = kNN + "Linear";
  const std::string function = kFunctional + "linear";
  const std::string linear_relu = kIntrinsic + "LinearReLU";
  const std::string linear_bn = kIntrinsic + "LinearBn1d";
  const std::string op = "linear";
  const auto with_relu = [&](const char* relu) {
    return Row{.pattern = sequence({module, relu}),
               .op = op,
               .fused_module = linear_relu,
               .fuser_method = sequential(linear_relu)};
  };
  std::vector<Row> rows = linear_rows();
  append(rows, {
                   with_relu(kRelu),
                   with_relu(kFunctionalRelu),
                   linear_row(linear_relu, kIntrinsicQat + "LinearReLU"),
                   linear_row(kIntrinsicQat + "LinearReLU"),
                   {.pattern = sequence({function, kRelu}), .op = op},
                   {.pattern = sequence({function, kFunctionalRelu}), .op = op},
                   {.pattern = sequence({module, kNN + "BatchNorm1d"}),
                    .op = op,
                    .fused_module = linear_bn,
                    .fuser_method = kFusers + "fuse_linear_bn"},
                   linear_row(linear_bn, kIntrinsicQat + "LinearBn1d"),
                   linear_row(kIntrinsicQat + "LinearBn1d"),
               });
  return build(rows, dtype_configs);
}

Configs rnn(const DTypeConfigs& dtype_configs) {
  std::vector<Row> rows;
  for (const auto& [module, op] :
       std::vector<std::pair<std::string, std::string>>{{"GRUCell", "gru_cell"},
                                                        {"LSTMCell", "lstm_cell"},
                                                        {"RNNCell", "rnn_tanh_cell"},
                                                        {"LSTM", "lstm"},
                                                        {"GRU", "gru"}}) {
    rows.push_back({.pattern = kNN + module,
                    .op = op,
                    .root_module = kNN + module,
                    .reference_quantized_module = kReference + module});
  }
  // The ops do not depend on the dtype of the weights.
  return build(rows, dtype_configs, [](const std::string& op, const DTypeConfig&) { return op; });
}

Configs embedding(const DTypeConfigs& dtype_configs) {
  Configs configs = embedding_of("Embedding", "embedding", dtype_configs);
  append(configs, embedding_of("EmbeddingBag", "embedding_bag", dtype_configs));
  return configs;
}

Configs embedding_with_function(const DTypeConfigs& dtype_configs) {
  Configs configs = embedding_of("Embedding", "embedding", dtype_configs);
  append(
      configs,
      build({{.pattern = kFunctional + "embedding", .op = "embedding", .inputs = {{"weight", 1}}}},
            dtype_configs));
  append(configs, embedding_of("EmbeddingBag", "embedding_bag", dtype_configs));
  return configs;
}

}  // namespace qnative::families
