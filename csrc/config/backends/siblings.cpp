#include "families.h"

// The backends with the structure of the native one: FBGEMM, x86 and QNNPACK.
namespace qnative {
namespace {

using families::DTypeConfigs;
using families::Family;

struct Sibling {
  // Also the prefix of the names of DTypeConfigs.
  std::string name;
  std::vector<const char*> weighted;
  std::vector<const char*> other;
  // For add, mul, matmul, sigmoid, tanh and similar.
  std::vector<const char*> binary_and_fixed;
  bool has_tensor_info;
};

c10::intrusive_ptr<BackendConfig> backend(const Sibling& sibling) {
  // A new list in every call: families share a list only if upstream's do.
  const auto list = [&](std::initializer_list<std::vector<const char*>> groups) {
    DTypeConfigs result;
    for (const auto& group : groups) {
      for (const char* dtypes : group) {
        result.push_back(dtype_config(sibling.name + "_" + dtypes + "_dtype_config"));
      }
    }
    return result;
  };
  const std::vector<const char*> dynamic = {"default_dynamic_int8", "default_dynamic_float16"};
  const DTypeConfigs default_op = list({sibling.other});
  std::vector<Family> all = {
      {families::conv, list({sibling.weighted})},
      {families::linear, list({sibling.weighted, dynamic})},
      {families::binary, list({sibling.binary_and_fixed})},
      {families::cat, default_op},
      {families::default_ops, default_op},
      {families::fixed_qparams, list({sibling.binary_and_fixed})},
      {families::share_qparams, list({sibling.other})},
  };
  if (sibling.has_tensor_info) all.push_back({families::tensor_info, list({sibling.other})});
  all.push_back({families::batch_norm, default_op});
  all.push_back({families::rnn, list({dynamic})});
  all.push_back({families::embedding, list({{"weight_only_quint8", "weight_only_quint4x2"}})});
  return families::backend(sibling.name, all);
}

}  // namespace

c10::intrusive_ptr<BackendConfig> get_fbgemm_backend_config() {
  return backend({.name = "fbgemm",
                  .weighted = {"weighted_op_quint8"},
                  .other = {"default_op_quint8"},
                  .binary_and_fixed = {"default_op_quint8"},
                  .has_tensor_info = true});
}

c10::intrusive_ptr<BackendConfig> get_x86_backend_config() {
  return backend({.name = "x86",
                  .weighted = {"weighted_op_int8"},
                  .other = {"default_op_quint8"},
                  .binary_and_fixed = {"weighted_op_int8"},
                  .has_tensor_info = true});
}

c10::intrusive_ptr<BackendConfig> get_qnnpack_backend_config() {
  return backend({.name = "qnnpack",
                  .weighted = {"weighted_op_qint8_symmetric", "weighted_op_quint8"},
                  .other = {"default_op_qint8_symmetric", "default_op_quint8"},
                  .binary_and_fixed = {"default_op_qint8_symmetric", "default_op_quint8"},
                  .has_tensor_info = false});
}

}  // namespace qnative
