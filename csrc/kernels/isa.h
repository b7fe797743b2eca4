#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

// Which implementation of a kernel runs. Chosen at run time from tables, best first, scalar last.
namespace qnative {

enum class Isa : uint8_t {
  kScalar,      // plain C++: the specification, complete in every family
  kAvx2,        // AVX2, FMA, F16C
  kAvxVnni,     // the same and vpdpbusd (Alder Lake and later, without AVX-512)
  kAvx512Vnni,  // AVX-512 F, BW, VL, DQ, VNNI, VBMI (Ice Lake, Zen 4 and later)
  kAmxInt8,     // the same and AMX tiles of int8 (Sapphire Rapids and later)
};
inline constexpr Isa kIsas[] = {Isa::kScalar, Isa::kAvx2, Isa::kAvxVnni, Isa::kAvx512Vnni,
                                Isa::kAmxInt8};

const char* name(Isa isa);
std::optional<Isa> isa_from_name(std::string_view name);

// Whether this CPU and operating system execute the instructions of `isa`. Of Linux, this asks for
// the use of AMX.
bool is_supported(Isa isa);

// QNATIVE_ISA when it is set, else the highest value; nothing when QNATIVE_ISA names no Isa.
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
