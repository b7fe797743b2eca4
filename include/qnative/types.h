#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <initializer_list>
#include <limits>
#include <optional>
#include <utility>

#include "qnative/export.h"

// The values that the functions of qnative::ops take and return.
//
//   using namespace qnative;
//   const QTensor x{bytes, {.scale = 0.1, .zero_point = 128}};
//   const PackedWeight w{ops::linear_pack(weight), scale, bias, {16, 64}};
//   const QTensor y = ops::linear(x, w, {.qparams = {0.5, 128}, .activation = Activation::relu()});
//
// They are plain data: nothing is checked until an op gets them. Any number of threads may read one
// value at the same time. Copies share their tensors.
namespace qnative {

// An at::ArrayRef that owns its values: made from one value, {values} or an ArrayRef. Int: int64_t,
// or c10::SymInt where shapes are symbols.
template <class Int>
class Values {
 public:
  Values() = default;
  Values(Int value) : values_({std::move(value)}) {}
  Values(std::initializer_list<Int> values) : values_(values) {}
  Values(at::ArrayRef<Int> values) : values_(values) {}

  operator at::ArrayRef<Int>() const { return values_; }
  bool empty() const { return values_.empty(); }
  const Int& operator[](size_t i) const { return values_[i]; }
  const Int* begin() const { return values_.data(); }
  const Int* end() const { return values_.data() + values_.size(); }

 private:
  c10::SmallVector<Int, at::kDimVectorStaticSize> values_;
};
using IntList = Values<int64_t>;

// real value = (q - zero_point) * scale
struct QParams {
  double scale = 1;        // positive, finite and not denormal as a float32
  int64_t zero_point = 0;  // a value of the tensor's dtype
};

// A quantized tensor: uint8 or int8, or int16 with zero point 0 where the op says so. Results may
// also be float32, with the qparams {1, 0}, so that the formula of QParams holds for every QTensor.
struct QTensor {
  at::Tensor data;
  QParams qparams;
};

// The weight of a linear layer or a convolution.
struct PackedWeight {
  at::Tensor data;   // from the op's <op>_pack: int8, or float16 from linear_fp16_pack
  at::Tensor scale;  // float32 [output channels], positive; undefined for float16
  std::optional<at::Tensor> bias = {};  // float32 [output channels], real numbers
  IntList shape;                        // of the weight before packing, e.g. {N, K}
};

// The functions of one float32 that Activation has makers for.
enum class FloatActivation : uint8_t;

// Applied to real results before they are quantized: the function, then the bounds.
// Functions other than bounds are for ops with float output; each op says what it takes.
struct Activation {
  double min = -std::numeric_limits<double>::infinity();
  double max = std::numeric_limits<double>::infinity();
  FloatActivation function{};  // none

  static Activation relu() { return {.min = 0}; }
  static Activation relu6() { return {.min = 0, .max = 6}; }
  static Activation clamp(double min, double max) { return {.min = min, .max = max}; }  // hardtanh

  static QNATIVE_API Activation gelu();       // with erf
  static QNATIVE_API Activation gelu_tanh();  // torch's gelu with approximate="tanh"
  static QNATIVE_API Activation silu();
  static QNATIVE_API Activation sigmoid();
  static QNATIVE_API Activation tanh();
  static QNATIVE_API Activation hardswish();
  static QNATIVE_API Activation hardsigmoid();
};

// How an op stores its real results: y = clamp(rne(act(r) / scale) + zero_point) of `dtype`.
struct OutputSpec {
  QParams qparams = {};              // ignored for float32
  at::ScalarType dtype = at::kByte;  // uint8 or int8; int16 or float32 where the op allows it
  Activation activation = {};

  bool is_float() const { return dtype == at::kFloat; }
};

}  // namespace qnative
