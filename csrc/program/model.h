#pragma once

#include <ATen/ATen.h>

#include <string>
#include <vector>

#include "archive.h"
#include "graph.h"
#include "signature.h"

namespace qnative::program {

// A buffer, parameter or input that the program changes: it gets a value after the nodes have run.
struct Mutation {
  Argument value;
  at::Tensor target;  // undefined: an input
  size_t input = 0;
};

// A program of an archive, ready to run.
struct Model {
  Signature signature;
  Graph graph;
  std::vector<Mutation> mutations;
  // Its calls change buffers or parameters, so that they cannot run at the same time.
  bool has_state = false;
  int64_t weight_bytes = 0;
  std::string metadata;  // JSON of qnative.save; empty for files of others

  // `name`: which of the archive's models; empty where it has only one, or "model".
  static Model load(Archive& archive, const std::string& name);
};

}  // namespace qnative::program
