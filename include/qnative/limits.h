#pragma once

#include <cstdint>

// Limits that hold on every machine.
namespace qnative {

// The most products of 8-bit values whose sum fits in int32 whatever the values are: of uint8 with
// int8 (linear, convolutions, rnn) and of uint8 with uint8 (matmul).
inline constexpr int64_t kMaxProductsU8S8 = 65793;  // 65793 * 255 * 128 < 2^31
inline constexpr int64_t kMaxProductsU8U8 = 33025;  // 33025 * 255 * 255 < 2^31

}  // namespace qnative
