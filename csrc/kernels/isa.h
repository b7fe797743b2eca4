#pragma once

#include <cstdint>
#include <iterator>
#include <optional>
#include <span>
#include <string_view>

// Which implementation of a kernel runs. Chosen at run time from tables, best first, scalar last.
namespace qnative {

// The one list of instruction sets, in ascending order: the enumerator, and the name in QNATIVE_ISA
// and of the kernel files. CMake reads the names from these lines; Python asks the library.
// clang-format off
#define QNATIVE_ISAS(isa)                                                                        \
  isa(kScalar, scalar)          /* plain C++: the specification, complete in every family */      \
  isa(kAvx2, avx2)              /* AVX2, FMA, F16C */                                             \
  isa(kAvxVnni, avx_vnni)       /* AVX2 and vpdpbusd: Alder Lake and later, without AVX-512 */    \
  isa(kAvx512Vnni, avx512_vnni) /* AVX-512 F, BW, VL, DQ, CD, VNNI, VBMI: Ice Lake, Zen 4 */      \
  isa(kAmxInt8, amx_int8)       /* AVX-512 and int8 tiles: Sapphire Rapids and later */
// clang-format on

#define QNATIVE_ISA_VALUE(value, name) value,
enum class Isa : uint8_t { QNATIVE_ISAS(QNATIVE_ISA_VALUE) };
#undef QNATIVE_ISA_VALUE

#define QNATIVE_ISA_VALUE(value, name) Isa::value,
inline constexpr Isa kIsas[] = {QNATIVE_ISAS(QNATIVE_ISA_VALUE)};
#undef QNATIVE_ISA_VALUE
inline constexpr Isa kMaxIsa = kIsas[std::size(kIsas) - 1];

const char* name(Isa isa);
std::optional<Isa> isa_from_name(std::string_view name);

// Whether this CPU and operating system execute the instructions of `isa`. On Linux, also requests
// permission for AMX.
bool is_supported(Isa isa);

// The value of QNATIVE_ISA, or kMaxIsa when it is not set. Empty when it names no Isa.
std::optional<Isa> isa_cap();

template <class Fn>
struct Kernel {
  Isa isa;
  Fn* run;
};

// The first row that is not above `cap` and that this machine supports. The last row is scalar.
template <class Fn>
const Kernel<Fn>& best(std::span<const Kernel<Fn>> kernels, Isa cap) {
  for (const Kernel<Fn>& kernel : kernels) {
    if (kernel.isa <= cap && is_supported(kernel.isa)) return kernel;
  }
  return kernels.back();
}

}  // namespace qnative
