#include "rows.h"

namespace qnative::families {
namespace {

std::vector<Row> conv_rows(const std::string& dim) {
  const std::string conv = kNN + "Conv" + dim;
  const std::string bn = kNN + "BatchNorm" + dim;
  const std::string function = kFunctional + "conv" + dim;
  const std::string reference = kReference + "Conv" + dim;
  const std::string conv_relu = kIntrinsic + "ConvReLU" + dim;
  const std::string conv_bn = kIntrinsic + "ConvBn" + dim;
  const std::string conv_bn_relu = kIntrinsic + "ConvBnReLU" + dim;
  const std::string qat = kQat + "Conv" + dim;
  const std::string relu_qat = kIntrinsicQat + "ConvReLU" + dim;
  const std::string bn_qat = kIntrinsicQat + "ConvBn" + dim;
  const std::string bn_relu_qat = kIntrinsicQat + "ConvBnReLU" + dim;
  const std::string op = "conv" + dim;
  const auto weighted = [&](const std::string& module, const std::string& qat_module = "") {
    return Row{.pattern = module,
               .op = op,
               .root_module = conv,
               .reference_quantized_module = reference,
               .qat_module = qat_module};
  };
  const auto fused = [&](Pattern pattern, const std::string& module, const std::string& fuser) {
    return Row{
        .pattern = std::move(pattern), .op = op, .fused_module = module, .fuser_method = fuser};
  };
  Row conv_bn_functional_relu =
      fused(sequence({conv, bn, kFunctionalRelu}), conv_bn_relu, kFusers + "fuse_conv_bn_relu");
  conv_bn_functional_relu.root_module = conv;
  return {
      weighted(conv, qat),
      weighted(qat),
      {.pattern = function, .op = op, .inputs = {{"weight", 1}, {"bias", 2}}},
      fused(sequence({conv, kRelu}), conv_relu, sequential(conv_relu)),
      fused(sequence({conv, kFunctionalRelu}), conv_relu, sequential(conv_relu)),
      weighted(conv_relu, relu_qat),
      weighted(relu_qat),
      {.pattern = sequence({function, kRelu}), .op = op},
      {.pattern = sequence({function, kFunctionalRelu}), .op = op},
      // Upstream's second entries for the same two patterns; the first of them lacks root_module.
      {.pattern = conv_relu, .op = op, .qat_module = relu_qat},
      weighted(relu_qat),
      fused(sequence({conv, bn}), conv_bn, kFusers + "fuse_conv_bn"),
      fused(sequence({conv, bn, kRelu}), conv_bn_relu, kFusers + "fuse_conv_bn_relu"),
      conv_bn_functional_relu,
      {.pattern = conv_bn, .op = op, .qat_module = bn_qat},
      {.pattern = conv_bn_relu, .op = op, .qat_module = bn_relu_qat},
      weighted(bn_qat),
      weighted(bn_relu_qat),
  };
}

std::vector<Row> conv_transpose_rows(const std::string& dim) {
  const std::string transpose = kNN + "ConvTranspose" + dim;
  const std::string reference = kReference + "ConvTranspose" + dim;
  const std::string op = "conv_transpose" + dim;
  return {
      {.pattern = transpose,
       .op = op,
       .root_module = transpose,
       .reference_quantized_module = reference},
      {.pattern = sequence({transpose, kNN + "BatchNorm" + dim}),
       .op = op,
       .root_module = transpose,
       .reference_quantized_module = reference,
       .fuser_method = kFusers + "fuse_convtranspose_bn"},
      {.pattern = kFunctional + "conv_transpose" + dim,
       .op = op,
       .inputs = {{"weight", 1}, {"bias", 2}}},
  };
}

}  // namespace

Configs conv(const DTypeConfigs& dtype_configs) {
  Configs configs;
  for (const char* dim : {"1d", "2d", "3d"}) {
    append(configs, build(conv_rows(dim), dtype_configs));
    append(configs, build(conv_transpose_rows(dim), dtype_configs));
  }
  return configs;
}

Configs conv2d(const DTypeConfigs& dtype_configs) { return build(conv_rows("2d"), dtype_configs); }

}  // namespace qnative::families
