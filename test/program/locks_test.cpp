#include <ATen/Parallel.h>
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <pthread.h>

#include <mutex>

#include "archives.h"
#include "qnative/program.h"

namespace {

thread_local int64_t locks = 0;  // that this thread has taken

}  // namespace

// Stands before that of libc for all libraries of the process.
extern "C" int pthread_mutex_lock(pthread_mutex_t* mutex) {
  using Lock = int (*)(pthread_mutex_t*);
  static const auto lock = reinterpret_cast<Lock>(dlsym(RTLD_NEXT, "pthread_mutex_lock"));
  ++locks;
  return lock(mutex);
}

namespace qnative::program {
namespace {

// Threads that call one program would wait for each other.
TEST(Program, CallsTakeNoLock) {
  const std::string bytes = testing::pack(testing::quantized_archive());
  const auto program = qnative::Program::load(bytes.data(), bytes.size());
  const at::Tensor x = at::randn({4, 1, 3});
  for (int i = 0; i < 3; ++i) program.run({x});
  const int64_t before = locks;
  for (int i = 0; i < 100; ++i) program.run({x});
  EXPECT_EQ(locks, before);
  std::mutex mutex;
  const std::lock_guard<std::mutex> lock(mutex);
  EXPECT_EQ(locks, before + 1);
}

}  // namespace
}  // namespace qnative::program
