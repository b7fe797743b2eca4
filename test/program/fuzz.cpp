// Damages archives and loads them: every one gives a c10::Error, or a program that runs or gives
// one. Mutation i of a run has the seed `first + i`, and depends on that alone:
//   fuzz_program [--seed FIRST] [--mutations COUNT] [FILE.pt2 ...]
// Without files: the archives of archives.h, which are also run. A crash, or a mutation that takes
// longer than kSeconds, prints the seed that repeats it. make fuzz-archives runs it under the
// sanitizers.
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>

#include "archives.h"
#include "qnative/program.h"

namespace qnative::program {
namespace {

constexpr unsigned kSeconds = 20;
constexpr int64_t kMaxGrowth = int64_t{1} << 29;  // bytes of memory that a mutation may cost

using testing::Records;

// An archive, and an input for its program; undefined: it is not run.
struct Original {
  std::string name;
  Records records;
  at::Tensor x;
};

Original read_file(const std::string& path) {
  caffe2::serialize::PyTorchStreamReader reader(path);
  Original original{path, {}, {}};
  for (const std::string& name : reader.getAllRecords()) {
    const auto [data, size] = reader.getRecord(name);
    original.records[name] = {static_cast<const char*>(data.get()), size};
  }
  original.records.erase("version");  // which the writer adds, with others
  original.records.erase(".data/serialization_id");
  return original;
}

class Mutation {
 public:
  Mutation(const std::vector<Original>& originals, uint64_t seed)
      : originals_(originals), random_(seed), original_(pick(originals)) {}

  const Original& original() const { return original_; }

  std::string damaged() {
    switch (below(6)) {
      case 0:
        return flip_bits(testing::pack(original_.records));
      case 1:
        return truncate(testing::pack(original_.records));
      case 2:
        return splice(testing::pack(original_.records), testing::pack(pick(originals_).records));
      case 3:
        return testing::pack(change_text());
      case 4:
        return testing::pack(exchange_records());
      default:
        return testing::pack(resize_record());
    }
  }

 private:
  size_t below(size_t n) { return n == 0 ? 0 : random_() % n; }
  const Original& pick(const std::vector<Original>& originals) {
    return originals[below(originals.size())];
  }
  std::pair<const std::string, std::string>& pick_record(Records& records) {
    auto record = records.begin();
    std::advance(record, below(records.size()));
    return *record;
  }

  std::string flip_bits(std::string bytes) {
    for (size_t i = 0; i < 1 + below(3); ++i) {
      char& byte = bytes[below(bytes.size())];
      byte = static_cast<char>(byte ^ 1 << below(8));
    }
    return bytes;
  }
  std::string truncate(const std::string& bytes) { return bytes.substr(0, below(bytes.size())); }
  std::string splice(std::string bytes, const std::string& from) {
    const size_t at = below(bytes.size()), start = below(from.size());
    const size_t size = below(1 + std::min<size_t>(from.size() - start, 4096));
    return bytes.replace(at, below(4096), from, start, size);
  }

  // The checksums of these are right.
  Records change_text() {
    static const std::vector<std::string> kPieces = {"null",
                                                     "-1",
                                                     "0",
                                                     "9223372036854775807",
                                                     "\"x\"",
                                                     "[]",
                                                     "{}",
                                                     "{\"as_int\": 1}",
                                                     "true",
                                                     "",
                                                     "1e308",
                                                     "}",
                                                     "[[[[",
                                                     "\"\\ud800\"",
                                                     "18446744073709551616"};
    Records records = original_.records;
    const char* const kTexts[] = {"models/model.json", "data/weights/model_weights_config.json",
                                  "data/constants/model_constants_config.json"};
    const auto record = records.find(kTexts[below(3)]);
    if (record == records.end()) return records;
    std::string& text = record->second;
    text.replace(below(text.size()), below(40), kPieces[below(kPieces.size())]);
    return records;
  }
  Records exchange_records() {
    Records records = original_.records;
    auto& record = pick_record(records);
    Records others = pick(originals_).records;
    record.second = pick_record(others).second;
    if (below(4) == 0) records.erase(record.first);
    return records;
  }
  Records resize_record() {
    Records records = original_.records;
    std::string& contents = pick_record(records).second;
    contents.resize(below(2 * contents.size() + 64));
    return records;
  }

  const std::vector<Original>& originals_;
  std::mt19937_64 random_;
  const Original& original_;
};

int64_t peak_bytes() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return int64_t{1024} * usage.ru_maxrss;
}

volatile uint64_t running = 0;  // the seed

// Only what a signal handler may do.
void report(int signal) {
  char text[] = "fuzz_program: failed at --seed 00000000000000000000 --mutations 1\n";
  char* digit = std::strstr(text, " --mutations");
  for (uint64_t rest = running; *--digit == '0'; rest /= 10)
    *digit = static_cast<char>('0' + rest % 10);
  [[maybe_unused]] const auto written = write(STDERR_FILENO, text, sizeof(text) - 1);
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

// Whether the archive was refused.
bool try_one(const std::vector<Original>& originals, uint64_t seed) {
  running = seed;
  alarm(kSeconds);
  Mutation mutation(originals, seed);
  const std::string bytes = mutation.damaged();
  const int64_t before = peak_bytes();
  bool is_refused = false;
  try {
    const auto program = qnative::Program::load(bytes.data(), bytes.size());
    if (mutation.original().x.defined()) {
      for (int i = 0; i < 2; ++i) program.run({mutation.original().x});  // the second is planned
    }
  } catch (const c10::Error&) {
    is_refused = true;
  }
  if (peak_bytes() - before > kMaxGrowth) {
    std::fprintf(stderr, "fuzz_program: too much memory\n");
    std::raise(SIGABRT);
  }
  return is_refused;
}

int run(uint64_t seed, uint64_t count, const std::vector<std::string>& files) {
  std::vector<Original> originals;
  at::manual_seed(0);
  if (files.empty()) {
    originals.push_back(
        {"linear", testing::linear_archive(at::randn({2, 3}), at::randn({2})), at::randn({4, 3})});
    originals.push_back({"quantized", testing::quantized_archive(), at::randn({4, 1, 3})});
  }
  for (const std::string& file : files) originals.push_back(read_file(file));
  for (const int signal : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGALRM}) {
    std::signal(signal, report);
  }
  uint64_t refused = 0;
  for (uint64_t i = 0; i < count; ++i) refused += try_one(originals, seed + i) ? 1 : 0;
  alarm(0);
  std::printf("%llu mutations from seed %llu, %llu refused\n",
              static_cast<unsigned long long>(count), static_cast<unsigned long long>(seed),
              static_cast<unsigned long long>(refused));
  // Most mutations hit something that matters.
  return refused > count / 2 ? 0 : 1;
}

}  // namespace
}  // namespace qnative::program

int main(int argc, char** argv) {
  uint64_t seed = 0, count = 10000;
  std::vector<std::string> files;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument == "--seed" && i + 1 < argc) {
      seed = std::strtoull(argv[++i], nullptr, 10);
    } else if (argument == "--mutations" && i + 1 < argc) {
      count = std::strtoull(argv[++i], nullptr, 10);
    } else {
      files.push_back(argument);
    }
  }
  return qnative::program::run(seed, count, files);
}
