#include <algorithm>
#include <tuple>

#include "fields.h"
#include "qnative/config.h"

namespace qnative {
namespace {

// As in Python, 0 equals 0.0.
bool equal(const std::optional<at::Scalar>& a, const std::optional<at::Scalar>& b) {
  if (!a || !b) return !a && !b;
  return a->isIntegral(true) && b->isIntegral(true) ? a->toLong() == b->toLong()
                                                    : a->toDouble() == b->toDouble();
}

}  // namespace

bool DTypeWithConstraints::operator==(const DTypeWithConstraints& other) const {
  return dtype == other.dtype &&
         std::ranges::all_of(
             fields::kNumbers,
             [&](const auto& field) { return equal(this->*field.member, other.*field.member); }) &&
         scale_exact_match == other.scale_exact_match &&
         zero_point_exact_match == other.zero_point_exact_match;
}

DTypeArg::DTypeArg(c10::intrusive_ptr<DTypeWithConstraints> constraints)
    : constraints_(std::move(constraints)) {
  TORCH_CHECK(constraints_, "qnative: DTypeConfig: the DTypeWithConstraints is null");
}

DTypeConfig::DTypeConfig(const DTypeArg& input_dtype, const DTypeArg& output_dtype,
                         const DTypeArg& weight_dtype, std::optional<at::ScalarType> bias_dtype,
                         std::optional<bool> is_dynamic)
    : bias_dtype(bias_dtype),
      is_dynamic(is_dynamic),
      input_(input_dtype.constraints()),
      output_(output_dtype.constraints()),
      weight_(weight_dtype.constraints()) {}

bool DTypeConfig::operator==(const DTypeConfig& other) const {
  return std::tie(*input_, *output_, *weight_, bias_dtype, is_dynamic) ==
         std::tie(*other.input_, *other.output_, *other.weight_, other.bias_dtype,
                  other.is_dynamic);
}

}  // namespace qnative
