#include "image.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <stdexcept>

namespace classify {
namespace {

constexpr int64_t kImageSize = 224;
constexpr int64_t kLargestSide = 1 << 15;
constexpr double kMean = 127.0;
constexpr double kStd = 128.0;

// The next number of a PPM header; a comment runs from # to the end of its line.
int64_t read_header_number(std::istream& file) {
  while ((file >> std::ws).peek() == '#') {
    file.ignore(std::numeric_limits<std::streamsize>::max(), '\n');
  }
  int64_t number = -1;
  file >> number;
  return number;
}

}  // namespace

at::Tensor read_ppm(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    throw std::runtime_error(path + ": cannot open");
  }
  char magic[2] = {};
  file.read(magic, 2);
  const int64_t width = read_header_number(file);
  const int64_t height = read_header_number(file);
  const int64_t largest_value = read_header_number(file);
  file.get();  // one white space ends the header
  const bool is_valid = magic[0] == 'P' && magic[1] == '6' && width > 0 && width <= kLargestSide &&
                        height > 0 && height <= kLargestSide && largest_value == 255;
  if (!file || !is_valid) {
    throw std::runtime_error(path + ": not a binary PPM (P6) with 8 bits a channel");
  }
  at::Tensor photo = at::empty({height, width, 3}, at::kByte);
  file.read(static_cast<char*>(photo.data_ptr()), photo.numel());
  if (file.gcount() != photo.numel()) {
    throw std::runtime_error(path + ": " + std::to_string(photo.numel()) +
                             " bytes of pixels wanted, " + std::to_string(file.gcount()) +
                             " found");
  }
  return photo;
}

at::Tensor network_input(const at::Tensor& photo) {
  const int64_t side = std::min(photo.size(0), photo.size(1));
  const at::Tensor square =
      photo.narrow(0, (photo.size(0) - side) / 2, side).narrow(1, (photo.size(1) - side) / 2, side);
  const at::Tensor image = square.permute({2, 0, 1}).to(at::kFloat).contiguous().unsqueeze(0);
  const at::Tensor resized =
      at::_upsample_bilinear2d_aa(image, {kImageSize, kImageSize}, /*align_corners=*/false);
  return (resized - kMean) / kStd;
}

}  // namespace classify
