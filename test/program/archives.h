#pragma once

#include <ATen/ATen.h>
#include <caffe2/serialize/inline_container.h>

#include <fstream>
#include <iterator>
#include <map>
#include <string>

// Archives as torch.export.save writes them, made without Python.
namespace qnative::program::testing {

using Records = std::map<std::string, std::string>;

inline std::string pack(const Records& records) {
  std::string bytes;
  const auto append = [&](const void* data, size_t size) {
    bytes.append(static_cast<const char*>(data), size);
    return size;
  };
  caffe2::serialize::PyTorchStreamWriter writer(append);
  for (const auto& [name, contents] : records) {
    writer.writeRecord(name, contents.data(), contents.size());
  }
  writer.writeEndOfFile();
  return bytes;
}

inline std::string bytes_of(const at::Tensor& tensor) {
  return {static_cast<const char*>(tensor.const_data_ptr()), tensor.nbytes()};
}

inline std::string read_text(const std::string& name) {
  std::ifstream file(QNATIVE_PROGRAM_TESTS "/linear/" + name);
  return {std::istreambuf_iterator<char>(file), {}};
}

// y = relu(x @ weight.t() + bias) + n, where x is [n, 3], weight [2, 3] and bias [2]; n at most 8
// and not 5.
inline Records linear_archive(const at::Tensor& weight, const at::Tensor& bias) {
  return {{"archive_format", "pt2"},
          {"archive_version", "0"},
          {"byteorder", "little"},
          {"models/model.json", read_text("model.json")},
          {"data/weights/weight_0", bytes_of(weight)},
          {"data/weights/weight_1", bytes_of(bias)},
          {"data/weights/model_weights_config.json", read_text("weights_config.json")},
          {"data/constants/model_constants_config.json", R"({"config": {}})"}};
}

}  // namespace qnative::program::testing
