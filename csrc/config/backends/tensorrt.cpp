#include "rows.h"

namespace qnative {
namespace {

// No op: qnative does not lower addmm.
families::Configs addmm(const families::DTypeConfigs& dtype_configs) {
  return families::build(
      {{.pattern = "torch.addmm", .op = "", .inputs = {{"bias", 0}, {"input", 1}, {"weight", 2}}}},
      dtype_configs);
}

}  // namespace

c10::intrusive_ptr<BackendConfig> get_tensorrt_backend_config() {
  // As upstream: a new object in every call, without a name.
  const auto weighted_config =
      c10::make_intrusive<DTypeConfig>(at::kQInt8, at::kQInt8, at::kQInt8, at::kFloat);
  const auto op_config = c10::make_intrusive<DTypeConfig>(at::kQInt8, at::kQInt8);
  const auto weighted = [&] { return families::list({weighted_config}); };
  const auto op = [&] { return families::list({op_config}); };
  return families::backend("tensorrt", {
                                           {families::conv, weighted()},
                                           {addmm, weighted()},
                                           {families::cat, op()},
                                           {families::linear, weighted()},
                                           {families::binary, weighted()},
                                           {families::share_qparams, op()},
                                           {families::tensor_info, op()},
                                       });
}

}  // namespace qnative
