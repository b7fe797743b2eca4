#include "quantize.h"

namespace qnative::quantize {

QuantizeFn quantize_scalar, quantize_avx2, quantize_avx512_vnni;
DequantizeFn dequantize_scalar, dequantize_avx2, dequantize_avx512_vnni;
QuantizeEachFn quantize_each_scalar, quantize_each_avx2, quantize_each_avx512_vnni;
DequantizeEachFn dequantize_each_scalar, dequantize_each_avx2, dequantize_each_avx512_vnni;
MinMaxFn min_max_scalar, min_max_avx2, min_max_avx512_vnni;
MagnitudesFn magnitudes_scalar, magnitudes_avx2, magnitudes_avx512_vnni;
FindAboveFn find_above_scalar, find_above_avx2, find_above_avx512_vnni;

std::span<const Kernel<QuantizeFn>> quantize_kernels() {
  static constexpr Kernel<QuantizeFn> kTable[] = {
#if defined(__x86_64__)
      {Isa::kAvx512Vnni, quantize_avx512_vnni},
      {Isa::kAvx2, quantize_avx2},
#endif
      {Isa::kScalar, quantize_scalar},
  };
  return kTable;
}

std::span<const Kernel<DequantizeFn>> dequantize_kernels() {
  static constexpr Kernel<DequantizeFn> kTable[] = {
#if defined(__x86_64__)
      {Isa::kAvx512Vnni, dequantize_avx512_vnni},
      {Isa::kAvx2, dequantize_avx2},
#endif
      {Isa::kScalar, dequantize_scalar},
  };
  return kTable;
}

std::span<const Kernel<QuantizeEachFn>> quantize_each_kernels() {
  static constexpr Kernel<QuantizeEachFn> kTable[] = {
#if defined(__x86_64__)
      {Isa::kAvx512Vnni, quantize_each_avx512_vnni},
      {Isa::kAvx2, quantize_each_avx2},
#endif
      {Isa::kScalar, quantize_each_scalar},
  };
  return kTable;
}

std::span<const Kernel<DequantizeEachFn>> dequantize_each_kernels() {
  static constexpr Kernel<DequantizeEachFn> kTable[] = {
#if defined(__x86_64__)
      {Isa::kAvx512Vnni, dequantize_each_avx512_vnni},
      {Isa::kAvx2, dequantize_each_avx2},
#endif
      {Isa::kScalar, dequantize_each_scalar},
  };
  return kTable;
}

std::span<const Kernel<MinMaxFn>> min_max_kernels() {
  static constexpr Kernel<MinMaxFn> kTable[] = {
#if defined(__x86_64__)
      {Isa::kAvx512Vnni, min_max_avx512_vnni},
      {Isa::kAvx2, min_max_avx2},
#endif
      {Isa::kScalar, min_max_scalar},
  };
  return kTable;
}

std::span<const Kernel<MagnitudesFn>> magnitudes_kernels() {
  static constexpr Kernel<MagnitudesFn> kTable[] = {
#if defined(__x86_64__)
      {Isa::kAvx512Vnni, magnitudes_avx512_vnni},
      {Isa::kAvx2, magnitudes_avx2},
#endif
      {Isa::kScalar, magnitudes_scalar},
  };
  return kTable;
}

std::span<const Kernel<FindAboveFn>> find_above_kernels() {
  static constexpr Kernel<FindAboveFn> kTable[] = {
#if defined(__x86_64__)
      {Isa::kAvx512Vnni, find_above_avx512_vnni},
      {Isa::kAvx2, find_above_avx2},
#endif
      {Isa::kScalar, find_above_scalar},
  };
  return kTable;
}

}  // namespace qnative::quantize
