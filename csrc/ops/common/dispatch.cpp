#include "common/dispatch.h"

#include <c10/util/Exception.h>

#include <cstdlib>
#include <string>

namespace qnative::ops {

Isa active_isa() {
  const std::optional<Isa> cap = isa_cap();
  if (cap) return *cap;
  std::string valid;
  for (Isa isa : kIsas) {
    valid += valid.empty() ? "" : ", ";
    valid += name(isa);
  }
  TORCH_CHECK(false, "qnative: QNATIVE_ISA must be one of ", valid, ", got '",
              std::getenv("QNATIVE_ISA"), "'");
}

}  // namespace qnative::ops
