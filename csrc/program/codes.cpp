#include "codes.h"

#include <array>
#include <utility>

#include "error.h"
#include "fields.h"

namespace qnative::program {
namespace {

template <class T, size_t n>
T decode(const std::array<std::pair<int64_t, T>, n>& table, const json::Value& value,
         const char* what) {
  const int64_t code = integer(value);
  for (const auto& [known, meaning] : table) {
    if (known == code) return meaning;
  }
  fail(what, " code ", code, " is not known");
}

}  // namespace

at::ScalarType read_scalar_type(const json::Value& code) {
  using enum at::ScalarType;
  static constexpr std::array<std::pair<int64_t, at::ScalarType>, 21> kTypes = {{
      {1, Byte},
      {2, Char},
      {3, Short},
      {4, Int},
      {5, Long},
      {6, Half},
      {7, Float},
      {8, Double},
      {9, ComplexHalf},
      {10, ComplexFloat},
      {11, ComplexDouble},
      {12, Bool},
      {13, BFloat16},
      {28, UInt16},
      {29, Float8_e4m3fn},
      {30, Float8_e5m2},
      {31, Float8_e4m3fnuz},
      {32, Float8_e5m2fnuz},
      {33, Float8_e8m0fnu},
      {34, UInt32},
      {35, UInt64},
  }};
  return decode(kTypes, code, "dtype");
}

at::MemoryFormat read_memory_format(const json::Value& code) {
  using enum at::MemoryFormat;
  static constexpr std::array<std::pair<int64_t, at::MemoryFormat>, 4> kFormats = {
      {{1, Contiguous}, {2, ChannelsLast}, {3, ChannelsLast3d}, {4, Preserve}}};
  return decode(kFormats, code, "memory format");
}

at::Layout read_layout(const json::Value& code) {
  using enum at::Layout;
  static constexpr std::array<std::pair<int64_t, at::Layout>, 7> kLayouts = {{{1, Sparse},
                                                                              {2, SparseCsr},
                                                                              {3, SparseCsc},
                                                                              {4, SparseBsr},
                                                                              {5, SparseBsc},
                                                                              {6, Mkldnn},
                                                                              {7, Strided}}};
  return decode(kLayouts, code, "layout");
}

at::Device read_device(const json::Value& device) {
  const std::string& type = text(device, "type");
  if (type != "cpu") {
    fail("device '", type, "': programs run on the CPU; move the model there before torch.export");
  }
  return at::kCPU;
}

}  // namespace qnative::program
