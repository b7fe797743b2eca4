#pragma once

#include <ATen/core/Tensor.h>

#include <string>

namespace classify {

// A binary PPM file (P6, 8 bits a channel) -> [height, width, 3] uint8 RGB. Throws
// std::runtime_error naming the file when it is anything else.
at::Tensor read_ppm(const std::string& path);

// [height, width, 3] uint8 -> [1, 3, 224, 224] float32, the input of EfficientNet-lite0: the
// largest centred square, resized (bilinear, antialiased) and normalised. The same torch ops in the
// same order as centre_crop in examples/efficientnet/data.py, hence the same bits.
at::Tensor network_input(const at::Tensor& photo);

}  // namespace classify
