#pragma once

#include <cstdint>

#include "product/windows.h"

// Pieces of an image copied to where kernels can read them.
namespace qnative::ops {

// The channels and input rows of a strip of one slice; slices, rows and columns outside of the
// image are padding.
struct Strip {
  int64_t image, slice;
  int64_t first_row, rows;
  int64_t first_column, columns;
  int64_t first_channel, channels;
};

// to: [rows][columns][channels], uint8. Where stride_h exceeds the height of the window, rows
// between windows are left as they are.
void copy_strip(const Source& x, const Window& window, const Strip& strip, uint8_t* to);

}  // namespace qnative::ops
