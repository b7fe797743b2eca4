// Runs an image classifier, saved by qnative.save (.pt2) or as TorchScript (.pt), on a photo and
// prints the five likeliest classes. Linking qnative is all that a quantized model needs: its ops
// register themselves when the library is loaded.
#include <ATen/Parallel.h>
#include <qnative/program.h>
#include <torch/script.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

#include "image.h"
#include "options.h"

namespace classify {
namespace {

constexpr int kClassesShown = 5;
constexpr int kWarmupRuns = 10;

std::vector<std::string> read_lines(const std::string& path) {
  std::ifstream file(path);
  if (!file) {
    throw std::runtime_error(path + ": cannot open");
  }
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) {
    lines.push_back(line);
  }
  return lines;
}

void print_classes(const at::Tensor& logits, const std::vector<std::string>& labels) {
  const auto [probabilities, classes] = logits.softmax(0).topk(kClassesShown);
  for (int i = 0; i < kClassesShown; ++i) {
    const auto index = static_cast<size_t>(classes[i].item<int64_t>());
    const std::string label = index < labels.size() ? labels[index] : "";
    std::printf("%5.1f %%  class %3zu  %s\n", 100 * probabilities[i].item<float>(), index,
                label.c_str());
  }
}

void write_floats(const std::string& path, const at::Tensor& values) {
  std::ofstream file(path, std::ios::binary);
  file.write(static_cast<const char*>(values.data_ptr()), values.numel() * sizeof(float));
  if (!file) {
    throw std::runtime_error(path + ": cannot write");
  }
}

using Network = std::function<at::Tensor(const at::Tensor&)>;

Network load(const std::string& path) {
  if (path.ends_with(".pt2")) {
    return [program = qnative::Program::load(path)](const at::Tensor& x) {
      return program.run({x}).at(0);
    };
  }
  return [module = torch::jit::load(path)](const at::Tensor& x) mutable {
    return module.forward({x}).toTensor();
  };
}

void benchmark(const Network& network, const at::Tensor& x, int runs) {
  for (int i = 0; i < kWarmupRuns; ++i) {
    network(x);
  }
  std::vector<double> milliseconds(runs);
  for (double& elapsed : milliseconds) {
    const auto start = std::chrono::steady_clock::now();
    network(x);
    elapsed =
        std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
  }
  std::sort(milliseconds.begin(), milliseconds.end());
  std::printf("latency: median %.3f ms, fastest %.3f ms, %d runs, %d threads\n",
              milliseconds[runs / 2], milliseconds.front(), runs, at::get_num_threads());
}

void run(const Options& options) {
  if (options.threads > 0) {
    at::set_num_threads(options.threads);
  }
  const c10::InferenceMode inference;
  const Network network = load(options.model);
  const at::Tensor x = network_input(read_ppm(options.photo));
  const at::Tensor logits = network(x).squeeze(0).contiguous();
  TORCH_CHECK(logits.dim() == 1 && logits.size(0) >= kClassesShown && logits.dtype() == at::kFloat,
              "the model must return float logits of one image, got ", logits.dtype(), " ",
              logits.sizes());
  print_classes(logits,
                options.labels.empty() ? std::vector<std::string>() : read_lines(options.labels));
  if (!options.logits.empty()) {
    write_floats(options.logits, logits);
  }
  if (options.benchmark_runs > 0) {
    benchmark(network, x, options.benchmark_runs);
  }
}

}  // namespace
}  // namespace classify

int main(int argc, char** argv) {
  try {
    classify::run(classify::parse(argc, argv));
  } catch (const std::invalid_argument& error) {
    std::fprintf(stderr, "classify: %s\n%s", error.what(), classify::kUsage);
    return 2;
  } catch (const c10::Error& error) {
    std::fprintf(stderr, "classify: %s\n", error.what_without_backtrace());
    return 1;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "classify: %s\n", error.what());
    return 1;
  }
}
