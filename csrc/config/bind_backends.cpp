#include <torch/library.h>

#include "qnative/algebra.h"
#include "qnative/backends.h"
#include "qnative/registry.h"

namespace qnative {
namespace {

// The functions of backends.h, registry.h and algebra.h, as methods:
// torch.classes.qnative.Backends().get_native_backend_config().
struct Backends : torch::CustomClassHolder {};
using Self = c10::intrusive_ptr<Backends>;
using Config = c10::intrusive_ptr<BackendConfig>;

template <auto get>
void def_backend(torch::class_<Backends>& cls, const std::string& name) {
  cls.def("get_" + name + "_backend_config", [](const Self&) { return get(); });
}

template <auto merge>
void def_merge(torch::class_<Backends>& cls, const char* name) {
  cls.def(name,
          [](const Self&, const Config& a, const Config& b, const std::string& on_clash) {
            return merge(*a, *b, on_clash_from_string(on_clash));
          },
          "", {torch::arg("a"), torch::arg("b"), torch::arg("on_clash") = "error"});
}

TORCH_LIBRARY_FRAGMENT(qnative, m) {
  auto cls = m.class_<Backends>("Backends");
  cls.def(torch::init<>());
  def_backend<&get_qnative_backend_config>(cls, "qnative");
  def_backend<&get_native_backend_config>(cls, "native");
  def_backend<&get_test_only_legacy_native_backend_config>(cls, "test_only_legacy_native");
  def_backend<&get_fbgemm_backend_config>(cls, "fbgemm");
  def_backend<&get_x86_backend_config>(cls, "x86");
  def_backend<&get_qnnpack_backend_config>(cls, "qnnpack");
  def_backend<&get_onednn_backend_config>(cls, "onednn");
  def_backend<&get_executorch_backend_config>(cls, "executorch");
  def_backend<&get_tensorrt_backend_config>(cls, "tensorrt");
  cls.def("get_backend", [](const Self&, const std::string& name) { return get_backend(name); });
  cls.def("backend_names", [](const Self&) { return backend_names(); });
  // get_backend() returns the config itself, not a copy.
  cls.def("register_backend",
          [](const Self&, const std::string& name, const Config& config, bool replace) {
            if (replace) unregister_backend(name);
            register_backend(name, [config] { return config; });
          });
  cls.def("unregister_backend",
          [](const Self&, const std::string& name) { return unregister_backend(name); });
  cls.def("dtype_config", [](const Self&, const std::string& name) { return dtype_config(name); });
  cls.def("dtype_with_constraints",
          [](const Self&, const std::string& name) { return dtype_with_constraints(name); });
  def_merge<&unite>(cls, "unite");
  def_merge<&intersect>(cls, "intersect");
  // (pattern, field, a, b)
  cls.def("diff", [](const Self&, const Config& a, const Config& b) {
    using Text = std::optional<std::string>;
    std::vector<std::tuple<std::string, std::string, Text, Text>> rows;
    for (auto& [pattern, field, in_a, in_b] : diff(*a, *b)) {
      rows.emplace_back(pattern, field, in_a, in_b);
    }
    return rows;
  });
  cls.def("diff_table",
          [](const Self&, const Config& a, const Config& b) { return diff_table(*a, *b); });
}

}  // namespace
}  // namespace qnative
