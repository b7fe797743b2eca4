// One model as TorchScript and as a Program, called in turns:
//   benchmark_programs MODEL.pt MODEL.pt2 INPUTS.pt SECONDS
// prints JSON. INPUTS: a list of tensors, saved by torch.save. One thread, whose processor time is
// measured: others may use the core. Then calls of 16 threads, on one program and on one each.
#include <ATen/Parallel.h>
#include <c10/core/InferenceMode.h>
#include <sys/resource.h>
#include <torch/csrc/jit/serialization/pickle.h>
#include <torch/script.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <functional>
#include <iterator>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "qnative/program.h"

namespace {

constexpr int kBlock = 50;  // calls in a row, so that each finds its own data in the caches
constexpr double kLongestBlock = 0.5;  // seconds

double seconds(clockid_t clock) {
  timespec time;
  clock_gettime(clock, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

int64_t page_faults() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_minflt;
}

std::vector<at::Tensor> read_tensors(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error(path + ": cannot open");
  const std::vector<char> bytes(std::istreambuf_iterator<char>(file), {});
  std::vector<at::Tensor> tensors;
  const c10::IValue values = torch::jit::pickle_load(bytes);
  for (const c10::IValue& value : values.toListRef()) tensors.push_back(value.toTensor());
  return tensors;
}

template <class Load>
double load_ms(const Load& load) {
  double least = 1e9;
  for (int i = 0; i < 5; ++i) {
    const double start = seconds(CLOCK_PROCESS_CPUTIME_ID);
    load();
    least = std::min(least, seconds(CLOCK_PROCESS_CPUTIME_ID) - start);
  }
  return 1e3 * least;
}

// A way to run the model, and what it took.
struct Way {
  std::function<void()> call;
  int calls = 0;       // of a block
  double least = 1e9;  // seconds of a call
  int64_t faults = 0, measured = 0;

  void warm_up() {
    for (int i = 0; i < 5; ++i) call();
    const double start = seconds(CLOCK_MONOTONIC);
    call();
    const double time = seconds(CLOCK_MONOTONIC) - start;
    calls = std::clamp(static_cast<int>(kLongestBlock / time), 2, kBlock);
  }

  void measure() {
    call();
    const int64_t before = page_faults();
    const double start = seconds(CLOCK_THREAD_CPUTIME_ID);
    for (int i = 0; i < calls; ++i) call();
    least = std::min(least, (seconds(CLOCK_THREAD_CPUTIME_ID) - start) / calls);
    faults += page_faults() - before;
    measured += calls;
  }

  void print(const char* name) const {
    std::printf("\"%s_us\": %.4g, \"%s_faults\": %.4g, ", name, 1e6 * least, name,
                static_cast<double>(faults) / static_cast<double>(measured));
  }
};

constexpr int kCallers = 16;

// Calls a second of threads with a program each, which may be the same.
double throughput(const std::vector<qnative::Program>& programs,
                  const std::vector<at::Tensor>& inputs, double duration) {
  std::atomic<bool> is_over = false;
  std::atomic<int64_t> calls = 0;
  std::vector<std::thread> threads;
  threads.reserve(programs.size());
  for (const qnative::Program& program : programs) {
    threads.emplace_back([&] {
      const c10::InferenceMode guard;
      at::set_num_threads(1);
      int64_t mine = 0;
      for (; !is_over.load(std::memory_order_relaxed); ++mine) program.run(inputs);
      calls += mine;
    });
  }
  const double start = seconds(CLOCK_MONOTONIC);
  std::this_thread::sleep_for(std::chrono::duration<double>(duration));
  is_over = true;
  for (std::thread& thread : threads) thread.join();
  return static_cast<double>(calls) / (seconds(CLOCK_MONOTONIC) - start);
}

void print_throughput(const std::string& file, const std::vector<at::Tensor>& inputs,
                      double duration) {
  const std::vector<qnative::Program> shared(kCallers, qnative::Program::load(file));
  std::vector<qnative::Program> copies;
  for (int i = 0; i < kCallers; ++i) copies.push_back(qnative::Program::load(file));
  constexpr int kRounds = 5;
  double most_shared = 0, most_copies = 0;
  for (int round = 0; round < kRounds; ++round) {
    most_shared = std::max(most_shared, throughput(shared, inputs, duration / kRounds / 2));
    most_copies = std::max(most_copies, throughput(copies, inputs, duration / kRounds / 2));
  }
  std::printf("\"shared_calls_s\": %.4g, \"copies_calls_s\": %.4g, ", most_shared, most_copies);
}

void run(const std::string& script_file, const std::string& program_file,
         const std::string& inputs_file, double duration) {
  const c10::InferenceMode guard;
  at::set_num_threads(1);
  auto script = torch::jit::load(script_file);
  const auto program = qnative::Program::load(program_file);
  const std::vector<at::Tensor> inputs = read_tensors(inputs_file);
  const std::vector<c10::IValue> values(inputs.begin(), inputs.end());
  Way ways[] = {{[&] { script.forward(values); }}, {[&] { program.run(inputs); }}};
  for (Way& way : ways) way.warm_up();
  const double end = seconds(CLOCK_MONOTONIC) + duration;
  do {
    for (Way& way : ways) way.measure();
  } while (seconds(CLOCK_MONOTONIC) < end);
  std::printf("{");
  ways[0].print("torchscript");
  ways[1].print("program");
  std::printf("\"nodes\": %zu, \"arena_bytes\": %lld, ", program.nodes().size(),
              static_cast<long long>(program.memory().arena));
  print_throughput(program_file, inputs, duration);
  std::printf("\"torchscript_load_ms\": %.4g, \"program_load_ms\": %.4g}\n",
              load_ms([&] { torch::jit::load(script_file); }),
              load_ms([&] { qnative::Program::load(program_file); }));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) {
    std::fprintf(stderr, "benchmark_programs MODEL.pt MODEL.pt2 INPUTS.pt SECONDS\n");
    return 2;
  }
  try {
    run(argv[1], argv[2], argv[3], std::stod(argv[4]));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
