#pragma once

#include <cstdint>

// Functions of one float32 that an epilogue applies. simd/activation.h has their formulas, which
// every ISA computes in the same order: bits are equal.
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
