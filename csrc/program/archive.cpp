#include "archive.h"

#include <ATen/EmptyTensor.h>
#include <caffe2/serialize/inline_container.h>
#include <caffe2/serialize/read_adapter_interface.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "codes.h"
#include "crc32.h"
#include "error.h"
#include "fields.h"

namespace qnative::program {
namespace {

using caffe2::serialize::PyTorchStreamReader;

constexpr size_t kAlignment = 64;
const std::string kModels = "models/";

class Reader : public caffe2::serialize::ReadAdapterInterface {
 public:
  explicit Reader(const Memory& memory) : memory_(memory) {}
  size_t size() const override { return memory_.size; }
  size_t read(uint64_t position, void* to, size_t size, const char* /*what*/) const override {
    if (position >= memory_.size) return 0;
    size = std::min<size_t>(size, memory_.size - position);
    std::memcpy(to, memory_.data.get() + position, size);
    return size;
  }

 private:
  Memory memory_;
};

template <class T>
T load(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof(T));
  return value;
}

// The parts of a record's local header that are used (APPNOTE.TXT 4.3.7). `rest`: the bytes of the
// archive from the header on.
struct LocalHeader {
  static constexpr size_t kSize = 30;

  explicit LocalHeader(const std::byte* header)
      : is_right(load<uint32_t>(header) == 0x04034B50),
        crc_follows((load<uint16_t>(header + 6) & 8) != 0),
        is_compressed(load<uint16_t>(header + 8) != 0),
        crc(load<uint32_t>(header + 14)),
        size(kSize + load<uint16_t>(header + 26) + load<uint16_t>(header + 28)) {}

  bool is_right;
  bool crc_follows;  // in a data descriptor behind the data
  bool is_compressed;
  uint32_t crc;
  size_t size;  // of all of the header: the data come next
};

// Names the kind of a file that is no archive of torch.export.
std::string what_it_is(const PyTorchStreamReader& reader) {
  auto& names = const_cast<PyTorchStreamReader&>(reader);  // hasRecord is not const
  if (names.hasRecord("constants.pkl")) {
    return "a TorchScript file: load it with torch::jit::load (torch.jit.load), or export the "
           "model with torch.export.export and torch.export.save";
  }
  if (names.hasRecord("data.pkl")) {
    return "a file of torch.save: it has no program. Export the model with torch.export.export and "
           "torch.export.save";
  }
  if (names.hasRecord("serialized_exported_program.json")) {
    return "an archive of an old torch: load it with torch.export.load and save it again with "
           "torch "
           "2.13 or later";
  }
  return "no archive of torch.export.save: it has no record 'archive_format'";
}

// `value` by reference: it may be set by what tells whether it overflows.
int64_t checked(bool overflows, const int64_t& value) {
  if (overflows) fail("sizes, strides and offset overflow");
  return value;
}

// Bytes that a tensor reaches in its storage.
int64_t extent(at::IntArrayRef sizes, at::IntArrayRef strides, int64_t offset, int64_t item_size) {
  int64_t last = offset;
  for (size_t i = 0; i < sizes.size(); ++i) {
    int64_t step = 0;
    last = checked(__builtin_mul_overflow(sizes[i] - 1, strides[i], &step) ||
                       __builtin_add_overflow(last, step, &last),
                   last);
  }
  int64_t bytes = 0;
  return checked(
      __builtin_add_overflow(last, 1, &last) || __builtin_mul_overflow(last, item_size, &bytes),
      bytes);
}

at::DimVector static_sizes(const json::Value& meta, const char* name) {
  at::DimVector sizes;
  for (const json::Value& size : array(meta, name)) {
    sizes.push_back(integer(member(size, "as_int")));
    if (sizes.back() < 0) fail(name, ": ", sizes.back(), " is negative");
  }
  return sizes;
}

}  // namespace

Memory Memory::map(const std::string& path) {
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) fail("cannot be opened: ", std::strerror(errno));
  struct stat status = {};
  void* data = MAP_FAILED;
  const bool is_file = fstat(file, &status) == 0 && S_ISREG(status.st_mode);
  const auto size = static_cast<size_t>(status.st_size);
  // Writable, for ops that work in place: a page that is written becomes the process's own.
  if (is_file && size > 0) {
    data = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, file, 0);
  }
  const int error = errno;
  close(file);
  if (!is_file) fail("is not a file");
  if (size == 0) fail("is empty");
  if (data == MAP_FAILED) fail("cannot be mapped: ", std::strerror(error));
  return {{static_cast<std::byte*>(data), [size](std::byte* begin) { munmap(begin, size); }}, size};
}

Memory Memory::copy(const void* data, size_t size) {
  constexpr auto kAligned = std::align_val_t(kAlignment);
  auto* bytes = static_cast<std::byte*>(operator new(size, kAligned));
  std::memcpy(bytes, data, size);
  return {{bytes, [](std::byte* begin) { operator delete(begin, kAligned); }}, size};
}

Archive::Archive(Memory memory) : memory_(std::move(memory)) {
  try {
    reader_ = std::make_unique<PyTorchStreamReader>(std::make_shared<Reader>(memory_));
  } catch (const c10::Error& error) {
    fail("is no archive of torch.export.save, or only a part of one: ",
         error.what_without_backtrace());
  }
  if (!has("archive_format")) fail("is ", what_it_is(*reader_));
  if (const auto format = read("archive_format"); format != "pt2") {
    fail("archive_format is '", format, "', wanted 'pt2'");
  }
  if (has("byteorder") && read("byteorder") != "little") {
    fail("was written on a machine with another byte order");
  }
}

Archive::~Archive() = default;

std::vector<std::string> Archive::models() const {
  std::vector<std::string> names;
  for (const std::string& record : reader_->getAllRecords()) {
    if (record.starts_with(kModels) && record.ends_with(".json")) {
      names.push_back(record.substr(kModels.size(), record.size() - kModels.size() - 5));
    }
  }
  return names;
}

bool Archive::has(const std::string& record) const { return reader_->hasRecord(record); }

std::string_view Archive::read(const std::string& record) {
  const auto [found, is_new] = records_.try_emplace(record);
  if (is_new) {
    found->second =
        within([&] { return c10::str("record '", record, "'"); }, [&] { return locate(record); });
  }
  return found->second;
}

std::string_view Archive::locate(const std::string& record) {
  if (!has(record)) fail("the archive has none");
  const size_t start = reader_->getRecordHeaderOffset(record);
  const size_t size = reader_->getRecordSize(record);
  const auto reach = [&](size_t from, size_t count) {
    if (from > memory_.size || count > memory_.size - from) fail("reaches beyond the archive");
    return memory_.data.get() + from;
  };
  const LocalHeader header(reach(start, LocalHeader::kSize));
  if (!header.is_right) fail("has no header: the archive is damaged");
  if (header.is_compressed) fail("is compressed; torch.export.save stores records as they are");
  const size_t begin = start + header.size;
  const std::byte* data = reach(begin, size);
  uint32_t crc = header.crc;
  if (header.crc_follows) {
    const size_t end = begin + size;
    // The signature is optional (APPNOTE.TXT 4.3.9.3).
    const bool has_signature = load<uint32_t>(reach(end, 4)) == 0x08074B50;
    crc = load<uint32_t>(reach(end + (has_signature ? 4 : 0), 4));
  }
  if (crc != crc32(data, size)) fail("does not match its CRC-32: the archive is damaged");
  return {reinterpret_cast<const char*>(data), size};
}

json::Value Archive::parse(const std::string& record) {
  const std::string_view text = read(record);
  return within([&] { return c10::str("record '", record, "'"); },
                [&] { return program::parse(text); });
}

const c10::Storage& Archive::storage(const std::string& record) {
  c10::Storage& storage = storages_[record];
  if (storage) return storage;
  const std::string_view bytes = read(record);
  // Points into the archive's memory, which is not const; read() gives it as const.
  auto* data =
      memory_.data.get() + (reinterpret_cast<const std::byte*>(bytes.data()) - memory_.data.get());
  std::shared_ptr<std::byte> owner = memory_.data;
  if (reinterpret_cast<uintptr_t>(data) % kAlignment != 0) {
    owner = Memory::copy(data, bytes.size()).data;
    data = owner.get();
  }
  const auto release = [](void* context) {
    delete static_cast<std::shared_ptr<std::byte>*>(context);
  };
  at::DataPtr pointer(data, new std::shared_ptr<std::byte>(std::move(owner)), release, at::kCPU);
  storage = c10::Storage(c10::Storage::use_byte_size_t(), bytes.size(), std::move(pointer),
                         /*allocator=*/nullptr, /*resizable=*/false);
  return storage;
}

int64_t Archive::tensor_bytes() const {
  int64_t sum = 0;
  for (const auto& [record, storage] : storages_) sum += static_cast<int64_t>(storage.nbytes());
  return sum;
}

at::Tensor Archive::tensor(const std::string& folder, const json::Value& payload) {
  const std::string& path = text(payload, "path_name");
  if (boolean(member(payload, "use_pickle"))) {
    fail("'", path,
         "' is a pickled object, which only Python can read: tensor subclasses and "
         "custom objects are not supported");
  }
  const json::Value& meta = member(payload, "tensor_meta");
  const at::ScalarType dtype = read_scalar_type(member(meta, "dtype"));
  const at::DimVector sizes = static_sizes(meta, "sizes");
  const at::DimVector strides = static_sizes(meta, "strides");
  const int64_t offset = integer(member(member(meta, "storage_offset"), "as_int"));
  read_device(member(meta, "device"));
  if (read_layout(member(meta, "layout")) != at::kStrided) fail("is not a strided tensor");
  if (sizes.size() != strides.size())
    fail("has ", sizes.size(), " sizes, ", strides.size(), " strides");
  if (offset < 0) fail("storage_offset ", offset, " is negative");
  const c10::Storage& memory = storage(folder + path);
  const bool is_empty = std::find(sizes.begin(), sizes.end(), 0) != sizes.end();
  const auto item_size = static_cast<int64_t>(c10::elementSize(dtype));
  if (!is_empty) {
    const int64_t end = extent(sizes, strides, offset, item_size);
    if (end > static_cast<int64_t>(memory.nbytes())) {
      fail(dtype, " ", at::IntArrayRef(sizes), " needs ", end, " bytes, record '", folder, path,
           "' has ", memory.nbytes());
    }
  }
  auto tensor = at::detail::make_tensor<c10::TensorImpl>(c10::Storage(memory),
                                                         c10::DispatchKeySet(c10::DispatchKey::CPU),
                                                         c10::scalarTypeToTypeMeta(dtype));
  tensor.unsafeGetTensorImpl()->set_sizes_and_strides(sizes, strides, is_empty ? 0 : offset);
  // Gradients are not computed, but torch chooses some kernels by it (matmul), and with them bits.
  const bool can_have_grad = at::isFloatingType(dtype) || at::isComplexType(dtype);
  tensor.set_requires_grad(can_have_grad && boolean(member(meta, "requires_grad")));
  return tensor;
}

}  // namespace qnative::program
