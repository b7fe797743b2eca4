#pragma once

#include <string>

namespace classify {

extern const char* const kUsage;

struct Options {
  std::string model;
  std::string photo;
  std::string labels;
  std::string logits;
  int benchmark_runs = 0;
  int threads = 0;  // 0: torch decides
};

// Throws std::invalid_argument saying which argument is wrong.
Options parse(int argc, char** argv);

}  // namespace classify
