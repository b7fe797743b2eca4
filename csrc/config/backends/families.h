#pragma once

#include <initializer_list>
#include <string>
#include <vector>

#include "qnative/backends.h"

// The families of operators that backends are made of. Each function returns the configs of one
// family in upstream's order; they share the list `dtype_configs`.
namespace qnative::families {

using DTypeConfigs = BackendPatternConfig::DTypeConfigs;
using Configs = std::vector<c10::intrusive_ptr<BackendPatternConfig>>;

// Convolutions and transposed convolutions of 1, 2 and 3 dimensions: alone, with relu, with
// BatchNorm, with both. Like upstream it has the fused modules with relu twice; the second replaces
// the first in a BackendConfig.
Configs conv(const DTypeConfigs& dtype_configs);
// Convolutions of 2 dimensions without the transposed ones.
Configs conv2d(const DTypeConfigs& dtype_configs);
// Alone, with relu, with BatchNorm.
Configs linear(const DTypeConfigs& dtype_configs);
Configs linear_alone(const DTypeConfigs& dtype_configs);

struct PatternAndOp {
  const char* pattern;
  const char* op;
};
// Functions with the same name in `operator` and `torch`, alone and with relu.
Configs arithmetic(const DTypeConfigs& dtype_configs, const std::vector<PatternAndOp>& functions);
// add and mul, alone and with relu, and matmul.
Configs binary(const DTypeConfigs& dtype_configs);
Configs cat(const DTypeConfigs& dtype_configs);
// Activations and normalizations with a separate observer for the output.
Configs default_ops(const DTypeConfigs& dtype_configs);
// sigmoid, softmax, tanh and similar. Each has its own copies of `dtype_configs`, with the fixed
// scale and zero point of the operator on quint8 input and output. Throws c10::ValueError if
// `dtype_configs` bound the scale.
Configs fixed_qparams(const DTypeConfigs& dtype_configs);
// Operators whose output has the scale and zero point of the input: pooling, reshaping, relu.
Configs share_qparams(const DTypeConfigs& dtype_configs);
Configs tensor_info(const DTypeConfigs& dtype_configs);
Configs batch_norm(const DTypeConfigs& dtype_configs);
Configs layer_norm(const DTypeConfigs& dtype_configs);
Configs rnn(const DTypeConfigs& dtype_configs);
Configs embedding(const DTypeConfigs& dtype_configs);
// Also torch.nn.functional.embedding.
Configs embedding_with_function(const DTypeConfigs& dtype_configs);

// A family with its dtypes, and a backend made of families.
struct Family {
  Configs (*configs)(const DTypeConfigs&);
  DTypeConfigs dtype_configs;
};
c10::intrusive_ptr<BackendConfig> backend(std::string name, const std::vector<Family>& all);

DTypeConfigs list(std::initializer_list<DTypeConfigPtr> configs);

}  // namespace qnative::families
