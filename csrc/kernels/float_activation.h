#pragma once

#include <cstdint>

// Functions of one float32 that an epilogue applies. simd/activation.h has the formulas; every ISA
// computes them in the same order and gives the same bits.
namespace qnative {

enum class FloatActivation : uint8_t {
  kNone,
  kGelu,
  kGeluTanh,
  kSilu,
  kSigmoid,
  kTanh,
  kHardswish,
  kHardsigmoid,
};

}  // namespace qnative
