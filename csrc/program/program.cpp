#include "qnative/program.h"

#include <c10/core/InferenceMode.h>

#include "error.h"
#include "executable.h"
#include "machine.h"
#include "qnative/info.h"

namespace qnative {
namespace {

using c10::IValue;
using program::Input;

std::shared_ptr<const program::Executable> load_model(
    const std::string& source, const std::function<program::Memory()>& memory,
    const std::string& model) {
  const c10::InferenceMode guard(false);  // weights serve every mode
  return program::within(
      [&] { return "qnative::Program: " + source; },
      [&] {
        program::Archive archive(memory());
        return std::make_shared<program::Executable>(program::Model::load(archive, model));
      });
}

const char* kName = "qnative::Program";

// The instruction set of a kernel: a line of qnative_kernels() has both.
std::string isa_of(std::string_view kernel) {
  std::string_view lines = qnative_kernels();
  while (!kernel.empty() && !lines.empty()) {
    const std::string_view line = lines.substr(0, lines.find('\n'));
    const size_t space = line.find(' ');
    if (line.substr(0, space) == kernel) return std::string(line.substr(space + 1));
    lines.remove_prefix(std::min(lines.size(), line.size() + 1));
  }
  return "";
}

}  // namespace

Program::Program(std::shared_ptr<const program::Executable> executable)
    : executable_(std::move(executable)) {}

Program Program::load(const std::string& path, const std::string& model) {
  return Program(load_model(path, [&] { return program::Memory::map(path); }, model));
}

Program Program::load(const void* data, size_t size, const std::string& model) {
  return Program(
      load_model("archive in memory", [&] { return program::Memory::copy(data, size); }, model));
}

std::vector<IValue> Program::leaves(c10::ArrayRef<at::Tensor> inputs) const {
  std::vector<IValue> leaves;
  const auto& wanted = executable_->model().signature.inputs;
  leaves.reserve(wanted.size());
  size_t used = 0;
  for (const Input& input : wanted) {
    if (input.kind == Input::Kind::kConstant) {
      leaves.push_back(input.constant);
    } else if (input.kind == Input::Kind::kInt) {
      program::fail(kName, ": input '", input.name, "' is an integer: call forward()");
    } else {
      leaves.push_back(used < inputs.size() ? IValue(inputs[used]) : IValue());
      ++used;
    }
  }
  if (used != inputs.size()) {
    program::fail(kName, ": wanted ", used, " tensors, got ", inputs.size());
  }
  return leaves;
}

std::vector<at::Tensor> Program::run(c10::ArrayRef<at::Tensor> inputs) const {
  std::vector<IValue> outputs;
  executable_->run(leaves(inputs), outputs);
  std::vector<at::Tensor> tensors;
  tensors.reserve(outputs.size());
  for (IValue& output : outputs) {
    if (output.isTensor()) tensors.push_back(std::move(output).toTensor());
  }
  return tensors;
}

IValue Program::forward(const std::vector<IValue>& args, const Kwargs& kwargs) const {
  const program::Signature& signature = executable_->model().signature;
  std::vector<IValue> outputs;
  const std::vector<IValue> leaves = program::within(
      [] { return std::string(kName); }, [&] { return signature.flatten(args, kwargs); });
  executable_->run(leaves, outputs);
  auto next = outputs.begin();
  return signature.out.unflatten([&] { return std::move(*next++); });
}

std::vector<Program::Node> Program::nodes() const {
  std::vector<Node> nodes;
  for (const program::Node& node : executable_->model().graph.nodes) {
    nodes.push_back({node.name, node.target});
  }
  return nodes;
}

std::vector<Program::Cost> Program::profile(c10::ArrayRef<at::Tensor> inputs,
                                            int64_t rounds) const {
  return profile_leaves(leaves(inputs), rounds);
}

std::vector<Program::Cost> Program::profile_leaves(const std::vector<IValue>& leaves,
                                                   int64_t rounds) const {
  const auto costs = executable_->profile(leaves, rounds);
  std::vector<Cost> result;
  result.reserve(costs.size());
  std::vector<Node> names = nodes();
  const auto limits = program::Limits::get();
  for (size_t i = 0; i < costs.size(); ++i) {
    const auto& [us, bytes, work] = costs[i];
    result.push_back({std::move(names[i]), us, bytes, work.kernel, isa_of(work.kernel),
                      limits->least_us(work.operations, bytes) / us});
  }
  return result;
}

Program::Memory Program::memory() const {
  return {executable_->model().weight_bytes, executable_->arena_bytes()};
}

}  // namespace qnative
