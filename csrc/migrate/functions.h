#pragma once

#include <functional>

#include "rewriter.h"

// Functions of one 8-bit value, as tables.
namespace qnative::migration {

// The 256 real values that x can have, from the least on.
at::Tensor values_of(const Quantized& x);

// The 8-bit tensor of `real`, one number for each of values_of(x).
Value* lookup(CallSite& site, const Quantized& x, const at::Tensor& real, const QParams& y);

}  // namespace qnative::migration
