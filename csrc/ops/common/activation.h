#pragma once

#include <c10/util/ArrayRef.h>

#include <string_view>

#include "float_activation.h"
#include "qnative/types.h"

// Activations of the schemas, "relu" and its arguments, as values.
namespace qnative::ops {

inline bool has_bounds(const Activation& activation) {
  return activation.min > -std::numeric_limits<double>::infinity() ||
         activation.max < std::numeric_limits<double>::infinity();
}

// Whether an op takes functions other than bounds.
enum class Functions : bool { kRefused, kAllowed };

// name: of the argument `activation`, which is followed by <name>_args.
Activation parse_activation(const char* op, std::string_view activation,
                            at::ArrayRef<double> activation_args,
                            Functions functions = Functions::kRefused,
                            const char* name = "activation");

// Returns the activation: an error when the op does not take it or its bounds are not in order.
const Activation& check_activation(const char* op, const Activation& activation,
                                   Functions functions = Functions::kRefused,
                                   const char* name = "activation");

}  // namespace qnative::ops
