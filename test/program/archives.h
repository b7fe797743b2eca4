#pragma once

#include <ATen/ATen.h>
#include <caffe2/serialize/inline_container.h>

#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <vector>

#include "qnative/ops.h"

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
  std::ifstream file(QNATIVE_PROGRAM_TESTS "/" + name);
  return {std::istreambuf_iterator<char>(file), {}};
}

// The texts of test/program/<folder>/ and the tensors that they describe.
inline Records archive_of(const std::string& folder, const std::vector<at::Tensor>& weights) {
  Records records = {
      {"archive_format", "pt2"},
      {"archive_version", "0"},
      {"byteorder", "little"},
      {"models/model.json", read_text(folder + "/model.json")},
      {"data/weights/model_weights_config.json", read_text(folder + "/weights_config.json")},
      {"data/constants/model_constants_config.json", R"({"config": {}})"}};
  for (size_t i = 0; i < weights.size(); ++i) {
    records["data/weights/weight_" + std::to_string(i)] = bytes_of(weights[i]);
  }
  return records;
}

// y = relu(x @ weight.t() + bias) + n, where x is [n, 3], weight [2, 3] and bias [2]; n at most 8
// and not 5.
inline Records linear_archive(const at::Tensor& weight, const at::Tensor& bias) {
  return archive_of("linear", {weight, bias});
}

// Operators of qnative: conv1d of 4 channels with relu on x [n, 1, 3], n at most 8, then linear to
// [n, 2].
inline Records quantized_archive() {
  const auto scale = [](int64_t n) { return at::rand({n}) / 50 + 0.001; };
  const at::Tensor conv = at::randint(-127, 128, {4, 1, 3}, at::kChar);
  const at::Tensor linear = at::randint(-127, 128, {2, 12}, at::kChar);
  return archive_of("quantized", {ops::conv1d_pack(conv, 1), scale(4), at::randn({4}),
                                  ops::linear_pack(linear), scale(2), at::randn({2})});
}

}  // namespace qnative::program::testing
