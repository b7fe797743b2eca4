#include <torch/custom_class.h>
#include <torch/library.h>

#include "executable.h"
#include "qnative/program.h"

// torch.classes.qnative.Program, which the Python class qnative.Program wraps.
namespace qnative {

using c10::IValue;

class BoundProgram : public torch::CustomClassHolder {
 public:
  explicit BoundProgram(Program program) : program_(std::move(program)) {}

  std::vector<at::Tensor> run(const std::vector<at::Tensor>& inputs) const {
    return program_.run(inputs);
  }

  // A tuple of leaves in, one of leaves out.
  IValue run_leaves(const IValue& inputs) const {
    std::vector<IValue> outputs;
    program_.executable_->run(leaves(inputs), outputs);
    return c10::ivalue::Tuple::create(std::move(outputs));
  }

  // (us, bytes, kernel, isa, limit) of each node
  using CostRow = std::tuple<double, int64_t, std::string, std::string, double>;
  std::vector<CostRow> profile(const IValue& inputs, int64_t rounds) const {
    std::vector<CostRow> rows;
    for (const Program::Cost& cost : program_.profile_leaves(leaves(inputs), rounds)) {
      rows.emplace_back(cost.us, cost.bytes, cost.kernel, cost.isa, cost.limit);
    }
    return rows;
  }

  // (weights, arena)
  std::tuple<int64_t, int64_t> memory() const {
    const Program::Memory memory = program_.memory();
    return {memory.weights, memory.arena};
  }

  const program::Model& model() const { return program_.executable_->model(); }

 private:
  static std::vector<IValue> leaves(const IValue& inputs) {
    TORCH_CHECK(inputs.isTuple(), "qnative::Program: wanted a tuple, got ", inputs.tagKind());
    return inputs.toTupleRef().elements().vec();
  }

  Program program_;
};

namespace {

using Self = c10::intrusive_ptr<BoundProgram>;

// (name, kind, an empty tensor of the dtype, sizes, constant) of each input. Sizes that are open
// are given by their symbol.
IValue describe_inputs(const Self& self) {
  const program::Signature& signature = self->model().signature;
  std::vector<IValue> rows;
  for (const program::Input& input : signature.inputs) {
    c10::impl::GenericList sizes(c10::AnyType::get());
    for (const auto& size : input.sizes) {
      sizes.push_back(size.variable < 0 ? IValue(size.number)
                                        : IValue(signature.sizes.text(size.variable)));
    }
    const bool is_constant = input.kind == program::Input::Kind::kConstant;
    const bool is_tensor = input.kind == program::Input::Kind::kTensor;
    const char* kind = is_constant ? "constant" : is_tensor ? "tensor" : "int";
    rows.emplace_back(c10::ivalue::Tuple::create(std::vector<IValue>{
        input.name, std::string(kind), at::empty({0}, input.dtype), sizes, input.constant}));
  }
  return c10::ivalue::Tuple::create(std::move(rows));
}

// (kind, constant) of each output.
IValue describe_outputs(const Self& self) {
  std::vector<IValue> rows;
  for (const program::Output& output : self->model().signature.outputs) {
    const char* kind = output.kind == program::Output::Kind::kTensor   ? "tensor"
                       : output.kind == program::Output::Kind::kNumber ? "number"
                                                                       : "constant";
    rows.emplace_back(
        c10::ivalue::Tuple::create(std::vector<IValue>{std::string(kind), output.constant}));
  }
  return c10::ivalue::Tuple::create(std::move(rows));
}

std::vector<std::tuple<std::string, std::string>> describe_nodes(const Self& self) {
  std::vector<std::tuple<std::string, std::string>> rows;
  for (const program::Node& node : self->model().graph.nodes) {
    rows.emplace_back(node.name, node.target);
  }
  return rows;
}

TORCH_LIBRARY_FRAGMENT(qnative, m) {
  m.class_<BoundProgram>("Program")
      .def("run", [](const Self& self,
                     const std::vector<at::Tensor>& inputs) { return self->run(inputs); })
      .def("run_leaves",
           [](const Self& self, const IValue& inputs) { return self->run_leaves(inputs); })
      .def("profile", &BoundProgram::profile)
      .def("memory", &BoundProgram::memory)
      .def("metadata", [](const Self& self) { return self->model().metadata; })
      .def("inputs", describe_inputs)
      .def("nodes", describe_nodes)
      .def("outputs", describe_outputs)
      .def("argument_names",
           [](const Self& self) { return self->model().signature.argument_names; })
      .def("specs",
           [](const Self& self) {
             const program::Signature& signature = self->model().signature;
             return std::make_tuple(signature.in_spec, signature.out_spec);
           })
      .def_static("load",
                  [](const std::string& path, const std::string& model) {
                    return c10::make_intrusive<BoundProgram>(Program::load(path, model));
                  })
      .def_static("load_bytes", [](const at::Tensor& bytes, const std::string& model) {
        TORCH_CHECK(bytes.scalar_type() == at::kByte && bytes.is_contiguous(),
                    "qnative::Program: wanted contiguous uint8");
        return c10::make_intrusive<BoundProgram>(
            Program::load(bytes.const_data_ptr(), static_cast<size_t>(bytes.numel()), model));
      });
}

}  // namespace
}  // namespace qnative
