#pragma once

#include <functional>

#include "rewriter.h"

// Functions of one 8-bit value, as tables.
namespace qnative::migration {

// The 256 real values that x can have, in ascending order.
at::Tensor values_of(const Quantized& x);

// Quantizes `real`, one number for each of values_of(x).
Value* lookup(CallSite& site, const Quantized& x, const at::Tensor& real, const QParams& y);

}  // namespace qnative::migration
