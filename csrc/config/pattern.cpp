#include <ATen/core/ivalue.h>

#include <algorithm>
#include <unordered_map>

#include "qnative/config.h"

namespace qnative {
namespace {

// torch has several names for some objects; each object must have one key.
const std::string& canonical(const std::string& name) {
  static const std::unordered_map<std::string, std::string> names = {
      {"torch.conv1d", "torch.nn.functional.conv1d"},
      {"torch.conv2d", "torch.nn.functional.conv2d"},
      {"torch.conv3d", "torch.nn.functional.conv3d"},
      {"torch.conv_transpose1d", "torch.nn.functional.conv_transpose1d"},
      {"torch.conv_transpose2d", "torch.nn.functional.conv_transpose2d"},
      {"torch.conv_transpose3d", "torch.nn.functional.conv_transpose3d"},
      {"torch._C._nn.linear", "torch.nn.functional.linear"},
      {"torch._C._nn.leaky_relu_", "torch.nn.functional.leaky_relu_"},
      {"torch._C._nn.hardtanh_", "torch.nn.functional.hardtanh_"},
      {"torch.pixel_shuffle", "torch.nn.functional.pixel_shuffle"},
      {"torch.pixel_unshuffle", "torch.nn.functional.pixel_unshuffle"},
      {"torch.adaptive_avg_pool1d", "torch.nn.functional.adaptive_avg_pool1d"},
      {"torch.avg_pool1d", "torch.nn.functional.avg_pool1d"},
      {"torch._C._nn.avg_pool2d", "torch.nn.functional.avg_pool2d"},
      {"torch._C._nn.avg_pool3d", "torch.nn.functional.avg_pool3d"},
      {"torch._C._nn.gelu", "torch.nn.functional.gelu"},
      {"torch._C._nn.softplus", "torch.nn.functional.softplus"},
      {"torch._C._nn.log_sigmoid", "torch.nn.functional.logsigmoid"},
      {"torch._C._nn.softshrink", "torch.nn.functional.softshrink"},
      {"torch.hardshrink", "torch.nn.functional.hardshrink"},
      {"torch.nn.functional._threshold", "torch.nn.functional.threshold"},
      {"torch._C._nn.scaled_dot_product_attention",
       "torch.nn.functional.scaled_dot_product_attention"},
      {"operator.__add__", "operator.add"},
      {"operator.__sub__", "operator.sub"},
      {"operator.__mul__", "operator.mul"},
      {"operator.__floordiv__", "operator.floordiv"},
      {"operator.__truediv__", "operator.truediv"},
      {"operator.__neg__", "operator.neg"},
      {"operator.__pow__", "operator.pow"},
  };
  const auto found = names.find(name);
  return found == names.end() ? name : found->second;
}

void check_depth(int depth) {
  TORCH_CHECK_VALUE(depth <= Pattern::kMaxDepth, "a pattern is nested more than ",
                    Pattern::kMaxDepth, " levels deep");
}

// `depth`: levels around the value, checked before the stack grows.
Pattern from_ivalue(const c10::IValue& value, int depth) {
  check_depth(depth);
  if (value.isString()) return {value.toStringRef()};
  TORCH_CHECK_VALUE(value.isTuple(), "a pattern is a str or a tuple of patterns, got ",
                    value.tagKind());
  std::vector<Pattern> elements;
  for (const auto& element : value.toTupleRef().elements()) {
    elements.push_back(from_ivalue(element, depth + 1));
  }
  return Pattern::tuple(std::move(elements));
}

}  // namespace

Pattern::Pattern(const std::string& name) : name_(canonical(name)) {
  TORCH_CHECK_VALUE(!name_.empty(), "the name of a pattern must not be empty");
}

Pattern Pattern::tuple(std::vector<Pattern> elements) {
  Pattern pattern;
  for (const auto& element : elements) pattern.depth_ = std::max(pattern.depth_, element.depth_);
  check_depth(++pattern.depth_);
  pattern.elements_ = std::move(elements);
  return pattern;
}

Pattern Pattern::from_ivalue(const c10::IValue& value) { return qnative::from_ivalue(value, 0); }

c10::IValue Pattern::to_ivalue() const {
  if (!is_tuple()) return name_;
  std::vector<c10::IValue> values;
  values.reserve(elements_.size());
  for (const auto& element : elements_) values.push_back(element.to_ivalue());
  return c10::ivalue::Tuple::create(std::move(values));
}

Pattern Pattern::reversed() const {
  if (!is_tuple()) return *this;
  TORCH_CHECK_VALUE(elements_.size() == 2 || elements_.size() == 3,
                    "Expected a tuple with 2 or 3 elements, got: ", str());
  Pattern first = tuple({elements_[1], elements_[0]});
  return elements_.size() == 2 ? first : tuple({elements_[2], std::move(first)});
}

std::string Pattern::str() const {
  if (!is_tuple()) return name_;
  std::string joined = "(";
  for (const auto& element : elements_) joined += (joined.size() > 1 ? ", " : "") + element.str();
  return joined + ")";
}

bool Pattern::operator<(const Pattern& other) const {
  return name_ != other.name_
             ? name_ < other.name_
             : std::lexicographical_compare(elements_.begin(), elements_.end(),
                                            other.elements_.begin(), other.elements_.end());
}

}  // namespace qnative
