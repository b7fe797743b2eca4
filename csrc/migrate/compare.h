#pragma once

#include <vector>

#include "qnative/migrate.h"

namespace qnative::migration {

// Runs forward of both models. Error if they return different structures or shapes.
OutputDifference compare(torch::jit::Module& before, torch::jit::Module& after,
                         const std::vector<c10::IValue>& inputs);

}  // namespace qnative::migration
