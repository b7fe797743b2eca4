#include "isa.h"

#include <cstdlib>

namespace qnative {
namespace {

constexpr Isa kAll[] = {Isa::kScalar, Isa::kAvx2, Isa::kAvx512Vnni};

}  // namespace

const char* name(Isa isa) {
  switch (isa) {
    case Isa::kScalar:
      return "scalar";
    case Isa::kAvx2:
      return "avx2";
    case Isa::kAvx512Vnni:
      return "avx512_vnni";
  }
  return "unknown";
}

std::optional<Isa> isa_from_name(std::string_view text) {
  for (Isa isa : kAll) {
    if (text == name(isa)) return isa;
  }
  return std::nullopt;
}

bool is_supported(Isa isa) {
#if defined(__x86_64__)
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                    __builtin_cpu_supports("f16c");
  if (isa == Isa::kAvx2) return avx2;
  if (isa == Isa::kAvx512Vnni) {
#if defined(QNATIVE_EMULATE_AVX512)
    return avx2;
#else
    return avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512vnni") &&
           __builtin_cpu_supports("avx512vbmi");
#endif
  }
#endif
  return isa == Isa::kScalar;
}

std::optional<Isa> isa_cap() {
  const char* text = std::getenv("QNATIVE_ISA");
  if (text == nullptr || *text == '\0') return Isa::kAvx512Vnni;
  return isa_from_name(text);
}

}  // namespace qnative
