#include "families.h"
#include "qnative/backends.h"

namespace qnative {
namespace {

using families::DTypeConfigs;
using families::Family;
using families::list;

// `with_fp16`: adds fp16 to linear, binary, fixed-qparams and share-qparams operators.
std::vector<Family> native_families(bool with_fp16) {
  const auto op = [&] { return list({default_op_quint8_dtype_config()}); };
  const auto op_fp16 = [&] {
    DTypeConfigs configs = op();
    if (with_fp16) configs.push_back(default_op_fp16_dtype_config());
    return configs;
  };
  const auto dynamic = [] {
    return list({default_dynamic_int8_dtype_config(), default_dynamic_float16_dtype_config()});
  };
  DTypeConfigs linear =
      list({weighted_op_quint8_dtype_config(), default_dynamic_int8_dtype_config(),
            default_dynamic_float16_dtype_config()});
  if (with_fp16) linear.push_back(default_op_fp16_dtype_config());
  // Shared as in upstream: a DTypeConfig added to one family is added to all that share the list.
  const DTypeConfigs default_op = op();
  return {
      {families::conv, list({weighted_op_quint8_dtype_config()})},
      {families::linear, linear},
      {families::binary, op_fp16()},
      {families::cat, default_op},
      {families::default_ops, default_op},
      {families::fixed_qparams, op_fp16()},
      {families::share_qparams, op_fp16()},
      {families::tensor_info, op()},
      {families::batch_norm, default_op},
      {families::layer_norm, list({input_output_only_quint8_dtype_config()})},
      {families::rnn, dynamic()},
      {families::embedding,
       list({weight_only_quint8_dtype_config(), weight_only_quint4x2_dtype_config()})},
  };
}

}  // namespace

c10::intrusive_ptr<BackendConfig> get_native_backend_config() {
  return families::backend("native", native_families(/*with_fp16=*/false));
}

c10::intrusive_ptr<BackendConfig> get_test_only_legacy_native_backend_config() {
  return families::backend("_native_and_fp16", native_families(/*with_fp16=*/true));
}

}  // namespace qnative
