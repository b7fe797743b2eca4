#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Storage.h>

#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "json.h"

namespace caffe2::serialize {
class PyTorchStreamReader;
}

// A zip file of torch.export.save. Its records are uncompressed and 64-byte aligned, so that
// tensors lie in the memory of the file itself: processes that map one file share its weights.
namespace qnative::program {

// Bytes that somebody keeps alive.
struct Memory {
  std::shared_ptr<std::byte> data;
  size_t size = 0;

  // The file, mapped. Pages are read from disk when they are needed; what is written into them is
  // seen by this process alone and never reaches the file. The file must not become shorter while
  // it is mapped: replace it (rename), do not overwrite it.
  static Memory map(const std::string& path);
  static Memory copy(const void* data, size_t size);
};

class Archive {
 public:
  // Throws if it is no archive of torch.export, with the kind of file that it is.
  explicit Archive(Memory memory);
  ~Archive();

  // Names of the models in it, "model" where torch.export.save wrote it.
  std::vector<std::string> models() const;

  // Records are checked against their CRC-32 when they are first read, which torch's reader does
  // not do.
  bool has(const std::string& record) const;
  std::string_view read(const std::string& record);
  json::Value parse(const std::string& record);

  // A tensor in a record of `folder` as a PayloadMeta describes it. Tensors that name one record
  // share its storage.
  at::Tensor tensor(const std::string& folder, const json::Value& payload);

  // The size of the records that hold tensors.
  int64_t tensor_bytes() const;

 private:
  // Where the bytes of a record are, checked.
  std::string_view locate(const std::string& record);
  const c10::Storage& storage(const std::string& record);

  Memory memory_;
  std::unique_ptr<caffe2::serialize::PyTorchStreamReader> reader_;
  std::unordered_map<std::string, std::string_view> records_;
  std::unordered_map<std::string, c10::Storage> storages_;
};

}  // namespace qnative::program
