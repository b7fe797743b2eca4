// Runs a quantized model on saved tensors, without Python:
//   run MODEL INPUTS OUTPUTS
// MODEL: a program of torch.export (.pt2), a package of AOTInductor (.aoti.pt2) or a TorchScript
// file (.pt), whose qnative:: ops come with the library that this program links. INPUTS: a list of
// tensors, saved by torch.save. OUTPUTS: a tuple of tensors, for torch.load.
#include <qnative/program.h>
#include <torch/csrc/inductor/aoti_package/model_package_loader.h>
#include <torch/csrc/jit/serialization/pickle.h>
#include <torch/script.h>

#include <fstream>
#include <iostream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

std::vector<torch::Tensor> read_tensors(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error(path + ": cannot open");
  const std::vector<char> bytes(std::istreambuf_iterator<char>(file), {});
  const torch::IValue values = torch::jit::pickle_load(bytes);
  std::vector<torch::Tensor> tensors;
  for (const torch::IValue& value : values.toListRef()) tensors.push_back(value.toTensor());
  return tensors;
}

void write_tensors(const std::string& path, const std::vector<torch::Tensor>& tensors) {
  const std::vector<torch::IValue> values(tensors.begin(), tensors.end());
  const std::vector<char> bytes = torch::jit::pickle_save(c10::ivalue::Tuple::create(values));
  std::ofstream file(path, std::ios::binary);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  if (!file) throw std::runtime_error(path + ": cannot write");
}

std::vector<torch::Tensor> run_script(const std::string& path,
                                      const std::vector<torch::Tensor>& inputs) {
  auto model = torch::jit::load(path);
  const torch::IValue output = model.forward({inputs.begin(), inputs.end()});
  if (output.isTensor()) return {output.toTensor()};
  std::vector<torch::Tensor> outputs;
  for (const torch::IValue& value : output.toTupleRef().elements()) {
    outputs.push_back(value.toTensor());
  }
  return outputs;
}

std::vector<torch::Tensor> run_program(const std::string& path,
                                       const std::vector<torch::Tensor>& inputs) {
  return qnative::Program::load(path).run(inputs);
}

std::vector<torch::Tensor> run_package(const std::string& path,
                                       const std::vector<torch::Tensor>& inputs) {
  torch::inductor::AOTIModelPackageLoader model(path);
  return model.run(inputs);
}

std::vector<torch::Tensor> run_file(const std::string& path,
                                    const std::vector<torch::Tensor>& inputs) {
  if (path.ends_with(".aoti.pt2")) return run_package(path, inputs);
  return path.ends_with(".pt2") ? run_program(path, inputs) : run_script(path, inputs);
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  if (arguments.size() != 3) {
    std::cerr << "run MODEL INPUTS OUTPUTS: 3 arguments wanted, " << arguments.size() << " found\n";
    return 2;
  }
  try {
    const torch::InferenceMode guard;
    write_tensors(arguments[2], run_file(arguments[0], read_tensors(arguments[1])));
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
}
