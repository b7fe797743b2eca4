#include "replacement.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <random>
#include <sstream>
#include <system_error>

namespace qnative::migration {
namespace {

[[noreturn]] void fail(const char* what) {
  throw std::system_error(errno, std::generic_category(), what);
}

std::string beside(const std::string& path) {
  std::random_device random;
  std::ostringstream name;
  name << path << '.' << std::hex << random() << random() << ".part";
  return name.str();
}

}  // namespace

Replacement::Replacement(const std::string& path) : path_(path), partial_(beside(path)), file_(-1) {
  const auto status = std::filesystem::status(path);
  if (std::filesystem::exists(status) && !std::filesystem::is_regular_file(status)) {
    throw std::system_error(std::make_error_code(std::errc::file_exists),
                            "it is not a regular file");
  }
  constexpr mode_t kMode = 0666;
  file_ = open(partial_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, kMode);
  if (file_ < 0) fail("it cannot be created");
}

Replacement::~Replacement() {
  if (file_ < 0) return;
  close(file_);
  unlink(partial_.c_str());
}

void Replacement::write(const void* data, size_t size) {
  const auto* from = static_cast<const char*>(data);
  while (size > 0) {
    const ssize_t written = ::write(file_, from, size);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail("it cannot be written");
    from += written;
    size -= static_cast<size_t>(written);
  }
}

void Replacement::commit() {
  if (fsync(file_) != 0 && errno != EINVAL) fail("it cannot be written");
  if (std::rename(partial_.c_str(), path_.c_str()) != 0) fail("it cannot be renamed");
  close(file_);
  file_ = -1;
}

}  // namespace qnative::migration
