#include "crc32.h"

#include <array>
#include <cstring>

namespace qnative::program {
namespace {

// Bytes that one step takes, with one table each ("slicing").
constexpr size_t kStep = 16;

using Tables = std::array<std::array<uint32_t, 256>, kStep>;

// tables[i][b]: what byte b contributes when i more bytes follow it.
constexpr Tables make_tables() {
  Tables tables = {};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320U : 0);
    tables[0][byte] = crc;
  }
  for (size_t i = 1; i < kStep; ++i) {
    for (size_t byte = 0; byte < 256; ++byte) {
      const uint32_t before = tables[i - 1][byte];
      tables[i][byte] = before >> 8 ^ tables[0][before & 0xFF];
    }
  }
  return tables;
}

constexpr Tables kTables = make_tables();

}  // namespace

uint32_t crc32(const void* data, size_t size) {
  const auto* bytes = static_cast<const uint8_t*>(data);
  uint32_t crc = ~0U;
  for (; size >= kStep; size -= kStep, bytes += kStep) {
    std::array<uint64_t, kStep / 8> words;
    std::memcpy(words.data(), bytes, kStep);
    words[0] ^= crc;
    crc = 0;
    for (size_t i = 0; i < kStep; ++i) {
      crc ^= kTables[kStep - 1 - i][words[i / 8] >> 8 * (i % 8) & 0xFF];
    }
  }
  for (; size > 0; --size, ++bytes) crc = crc >> 8 ^ kTables[0][(crc ^ *bytes) & 0xFF];
  return ~crc;
}

}  // namespace qnative::program
