#include "isa.h"

#include <cstdlib>

#if defined(__x86_64__)
#include <cpuid.h>
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif
#endif

namespace qnative {
namespace {

#if defined(__x86_64__) && !defined(QNATIVE_EMULATE_AVX512)

bool has_avx_vnni() {
  constexpr unsigned kAvxVnni = 1U << 4;
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  return __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) != 0 && (eax & kAvxVnni) != 0;
}

bool has_avx512() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512vnni") &&
         __builtin_cpu_supports("avx512vbmi");
}

// Tile registers add 8 KB to a thread's saved state, so Linux grants them on request, once per
// process.
bool may_use_tiles() {
#if defined(__linux__)
  constexpr long kRequestPermission = 0x1023, kTileData = 18;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}

bool has_amx() {
  constexpr unsigned kTile = 1U << 24, kInt8 = 1U << 25;
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  return __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) != 0 && (edx & kTile) != 0 &&
         (edx & kInt8) != 0 && may_use_tiles();
}

#else

constexpr bool has_avx_vnni() { return true; }
constexpr bool has_avx512() { return true; }
constexpr bool has_amx() { return true; }

#endif

}  // namespace

const char* name(Isa isa) {
  switch (isa) {
#define QNATIVE_ISA_NAME(value, name) \
  case Isa::value:                    \
    return #name;
    QNATIVE_ISAS(QNATIVE_ISA_NAME)
#undef QNATIVE_ISA_NAME
  }
  return "unknown";
}

std::optional<Isa> isa_from_name(std::string_view text) {
  for (Isa isa : kIsas) {
    if (text == name(isa)) return isa;
  }
  return std::nullopt;
}

bool is_supported(Isa isa) {
#if defined(__x86_64__)
  static const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                           __builtin_cpu_supports("f16c");
  static const bool avx512 = avx2 && has_avx512();
  if (isa == Isa::kAvx2) return avx2;
  if (isa == Isa::kAvxVnni) {
    static const bool avx_vnni = avx2 && has_avx_vnni();
    return avx_vnni;
  }
  if (isa == Isa::kAvx512Vnni) return avx512;
  if (isa == Isa::kAmxInt8) {
    static const bool amx = avx512 && has_amx();
    return amx;
  }
#endif
  return isa == Isa::kScalar;
}

std::optional<Isa> isa_cap() {
  const char* text = std::getenv("QNATIVE_ISA");
  if (text == nullptr || *text == '\0') return kMaxIsa;
  return isa_from_name(text);
}

}  // namespace qnative
