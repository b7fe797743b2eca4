#pragma once

#include <cstdint>
#include <span>

#include "isa.h"

// Any function of one 8-bit value: y[i] = table[x[i]]. x, y: n bytes, any alignment; y may be x.
// table: 256 bytes.
namespace qnative::lookup {

using Fn = void(const uint8_t* x, uint8_t* y, int64_t n, const uint8_t* table);

std::span<const Kernel<Fn>> kernels();

}  // namespace qnative::lookup
