#pragma once

#include <cstddef>
#include <cstdint>

namespace qnative::program {

// The CRC-32 of zip files: polynomial 0x04C11DB7, bits reflected, all bits inverted before and
// after.
uint32_t crc32(const void* data, size_t size);

}  // namespace qnative::program
