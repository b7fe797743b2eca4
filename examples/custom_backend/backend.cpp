#include <qnative/backends.h>
#include <qnative/registry.h>

// The backend "mylib", with the patterns that its op runs. Loading the library registers it.
namespace {

c10::intrusive_ptr<qnative::BackendConfig> backend() {
  auto row = c10::make_intrusive<qnative::BackendPatternConfig>(
      qnative::Pattern::tuple({"conv2d", "batch_norm2d", "relu"}));
  row->add_dtype_config(qnative::weighted_op_quint8_dtype_config()).set_ops({"mylib::fused_op"});
  auto config = c10::make_intrusive<qnative::BackendConfig>("mylib");
  config->set_backend_pattern_config(row);
  return config;
}

const qnative::BackendRegistrar registrar("mylib", backend);

}  // namespace
