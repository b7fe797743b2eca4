#include <torch/library.h>

#include "qnative/backends.h"

namespace qnative {
namespace {

// The functions of backends.h: torch.classes.qnative.Backends().get_native_backend_config().
struct Backends : torch::CustomClassHolder {};
using Self = c10::intrusive_ptr<Backends>;

template <auto get>
void def_backend(torch::class_<Backends>& cls, const std::string& name) {
  cls.def("get_" + name + "_backend_config", [](const Self&) { return get(); });
}

TORCH_LIBRARY_FRAGMENT(qnative, m) {
  auto cls = m.class_<Backends>("Backends");
  cls.def(torch::init<>());
  def_backend<&get_native_backend_config>(cls, "native");
  def_backend<&get_test_only_legacy_native_backend_config>(cls, "test_only_legacy_native");
  def_backend<&get_fbgemm_backend_config>(cls, "fbgemm");
  def_backend<&get_x86_backend_config>(cls, "x86");
  def_backend<&get_qnnpack_backend_config>(cls, "qnnpack");
  def_backend<&get_onednn_backend_config>(cls, "onednn");
  def_backend<&get_executorch_backend_config>(cls, "executorch");
  def_backend<&get_tensorrt_backend_config>(cls, "tensorrt");
  cls.def("dtype_config", [](const Self&, const std::string& name) { return dtype_config(name); });
  cls.def("dtype_with_constraints",
          [](const Self&, const std::string& name) { return dtype_with_constraints(name); });
}

}  // namespace
}  // namespace qnative
