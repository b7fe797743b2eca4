#include "common/activation.h"

#include <c10/util/Exception.h>

namespace qnative {

Activation Activation::gelu() { return {.function = FloatActivation::kGelu}; }
Activation Activation::gelu_tanh() { return {.function = FloatActivation::kGeluTanh}; }
Activation Activation::silu() { return {.function = FloatActivation::kSilu}; }
Activation Activation::sigmoid() { return {.function = FloatActivation::kSigmoid}; }
Activation Activation::tanh() { return {.function = FloatActivation::kTanh}; }
Activation Activation::hardswish() { return {.function = FloatActivation::kHardswish}; }
Activation Activation::hardsigmoid() { return {.function = FloatActivation::kHardsigmoid}; }

namespace ops {
namespace {

// By the number of the function; "none" is no function.
constexpr std::string_view kFunctionNames[] = {"none",    "gelu", "gelu_tanh", "silu",
                                               "sigmoid", "tanh", "hardswish", "hardsigmoid"};
static_assert(static_cast<size_t>(FloatActivation::kHardsigmoid) + 1 == std::size(kFunctionNames));

std::string_view name_of(FloatActivation function) {
  const auto number = static_cast<size_t>(function);
  return number < std::size(kFunctionNames) ? kFunctionNames[number] : "an unknown function";
}

FloatActivation function_of(std::string_view name) {
  size_t number = std::size(kFunctionNames) - 1;
  while (number > 0 && kFunctionNames[number] != name) --number;
  return static_cast<FloatActivation>(number);
}

void refuse(const char* op, const char* name, Functions functions, std::string_view got) {
  std::string functions_too;
  if (functions == Functions::kAllowed) {
    for (const std::string_view each : kFunctionNames) {
      if (each != "none") functions_too.append(", ").append(each);
    }
  }
  TORCH_CHECK(false, "qnative::", op, ": ", name, " must be one of none, relu, relu6, clamp",
              functions_too, ", got '", got, "'");
}

}  // namespace

Activation parse_activation(const char* op, std::string_view activation,
                            at::ArrayRef<double> activation_args, Functions functions,
                            const char* name) {
  const FloatActivation function =
      functions == Functions::kAllowed ? function_of(activation) : FloatActivation::kNone;
  const bool is_clamp = activation == "clamp";
  const bool is_relu6 = activation == "relu6";
  const bool is_relu = activation == "relu";
  const bool is_known = is_clamp || is_relu6 || is_relu || activation == "none";
  if (!is_known && function == FloatActivation::kNone) refuse(op, name, functions, activation);
  const size_t wanted = is_clamp ? 2 : 0;
  TORCH_CHECK(activation_args.size() == wanted, "qnative::", op, ": ", name, " '", activation,
              "' takes ", wanted, " ", name, "_args, got ", activation_args.size());
  if (is_relu) return Activation::relu();
  if (is_relu6) return Activation::relu6();
  if (is_clamp) return Activation::clamp(activation_args[0], activation_args[1]);
  return {.function = function};
}

const Activation& check_activation(const char* op, const Activation& activation,
                                   Functions functions, const char* name) {
  const bool is_bounds = activation.function == FloatActivation::kNone;
  const bool is_known = static_cast<size_t>(activation.function) < std::size(kFunctionNames);
  if (!is_bounds && (functions == Functions::kRefused || !is_known)) {
    refuse(op, name, functions, name_of(activation.function));
  }
  TORCH_CHECK(activation.min <= activation.max, "qnative::", op, ": ", name,
              "_args of clamp must be [min, max] with min <= max, got [", activation.min, ", ",
              activation.max, "]");
  return activation;
}

}  // namespace ops
}  // namespace qnative
