#include "options.h"

#include <stdexcept>
#include <vector>

namespace classify {
namespace {

int positive_number(const std::string& name, const std::string& text) {
  size_t used = 0;
  int number = 0;
  try {
    number = std::stoi(text, &used);
  } catch (const std::exception&) {
    used = 0;
  }
  if (used != text.size() || number <= 0) {
    throw std::invalid_argument(name + " wants a positive number, got '" + text + "'");
  }
  return number;
}

}  // namespace

const char* const kUsage =
    "usage: classify MODEL PHOTO [--labels FILE] [--logits FILE] [--threads N] [--benchmark RUNS]\n"
    "  MODEL      file of qnative.save (.pt2) or torch.jit.save (.pt)\n"
    "  PHOTO      binary PPM (P6)\n"
    "  --labels   class names, one a line\n"
    "  --logits   write the logits there, float32\n"
    "  --threads  threads of torch\n"
    "  --benchmark  time that many runs\n";

Options parse(int argc, char** argv) {
  Options options;
  std::vector<std::string> positional;
  for (int i = 1; i < argc; ++i) {
    const std::string name = argv[i];
    if (name.rfind("--", 0) != 0) {
      positional.push_back(name);
      continue;
    }
    if (i + 1 == argc) {
      throw std::invalid_argument(name + " wants a value");
    }
    const std::string value = argv[++i];
    if (name == "--labels") {
      options.labels = value;
    } else if (name == "--logits") {
      options.logits = value;
    } else if (name == "--threads") {
      options.threads = positive_number(name, value);
    } else if (name == "--benchmark") {
      options.benchmark_runs = positive_number(name, value);
    } else {
      throw std::invalid_argument("unknown option " + name);
    }
  }
  if (positional.size() != 2) {
    throw std::invalid_argument("MODEL and PHOTO wanted, " + std::to_string(positional.size()) +
                                " arguments found");
  }
  options.model = positional[0];
  options.photo = positional[1];
  return options;
}

}  // namespace classify
