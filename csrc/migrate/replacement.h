#pragma once

#include <cstddef>
#include <string>

namespace qnative::migration {

// A new file that takes the place of `path` in commit(), and is gone if that is not reached. Its
// name cannot be guessed, and it is opened only if nothing has that name, a link neither: in a
// folder that others may write to, nobody can lead the bytes elsewhere, and two writers of one path
// do not meet. Errors are std::system_error.
class Replacement {
 public:
  explicit Replacement(const std::string& path);
  ~Replacement();
  Replacement(const Replacement&) = delete;
  Replacement& operator=(const Replacement&) = delete;

  void write(const void* data, size_t size);
  void commit();

 private:
  const std::string path_, partial_;
  int file_;  // -1: closed
};

}  // namespace qnative::migration
