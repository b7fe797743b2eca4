#include "embedding.h"

namespace qnative::embedding {

RowsFn rows_8bit_scalar, rows_8bit_avx2, rows_8bit_avx512_vnni;
RowsFn rows_4bit_scalar, rows_4bit_avx2, rows_4bit_avx512_vnni;
BagsFn bags_8bit_scalar, bags_8bit_avx2, bags_8bit_avx512_vnni;
BagsFn bags_4bit_scalar, bags_4bit_avx2, bags_4bit_avx512_vnni;

std::span<const Kernel<RowsFn>> rows_8bit_kernels() {
  static constexpr Kernel<RowsFn> kTable[] = {
#if defined(__x86_64__)
      {Isa::kAvx512Vnni, rows_8bit_avx512_vnni},
      {Isa::kAvx2, rows_8bit_avx2},
#endif
      {Isa::kScalar, rows_8bit_scalar},
  };
  return kTable;
}

std::span<const Kernel<RowsFn>> rows_4bit_kernels() {
  static constexpr Kernel<RowsFn> kTable[] = {
#if defined(__x86_64__)
      {Isa::kAvx512Vnni, rows_4bit_avx512_vnni},
      {Isa::kAvx2, rows_4bit_avx2},
#endif
      {Isa::kScalar, rows_4bit_scalar},
  };
  return kTable;
}

std::span<const Kernel<BagsFn>> bags_8bit_kernels() {
  static constexpr Kernel<BagsFn> kTable[] = {
#if defined(__x86_64__)
      {Isa::kAvx512Vnni, bags_8bit_avx512_vnni},
      {Isa::kAvx2, bags_8bit_avx2},
#endif
      {Isa::kScalar, bags_8bit_scalar},
  };
  return kTable;
}

std::span<const Kernel<BagsFn>> bags_4bit_kernels() {
  static constexpr Kernel<BagsFn> kTable[] = {
#if defined(__x86_64__)
      {Isa::kAvx512Vnni, bags_4bit_avx512_vnni},
      {Isa::kAvx2, bags_4bit_avx2},
#endif
      {Isa::kScalar, bags_4bit_scalar},
  };
  return kTable;
}

}  // namespace qnative::embedding
