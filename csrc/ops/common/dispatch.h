#pragma once

#include <span>

#include "isa.h"

// Which row of a kernel table the ops run.
namespace qnative::ops {

// The highest Isa to use: QNATIVE_ISA, an error listing the valid names when it names none.
Isa active_isa();

// The kernel of a family. Callers keep the reference in a function-local static, so that it is
// chosen once, and that an error in QNATIVE_ISA comes back at every call.
template <class Fn>
Fn& select(std::span<const Kernel<Fn>> kernels) {
  return *best(kernels, active_isa()).run;
}

}  // namespace qnative::ops
