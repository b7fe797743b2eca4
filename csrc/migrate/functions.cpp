#include "functions.h"

#include <cmath>
#include <limits>

#include "qnative/ops.h"

namespace qnative::migration {

at::Tensor values_of(const Quantized& x) {
  const IntRange range = range_of(x.dtype);
  const at::Tensor codes = at::arange(range.min, range.max + 1, at::kLong).to(x.dtype);
  return ops::dequantize_per_tensor({codes, x.qparams});
}

Value* lookup(CallSite& site, const Quantized& x, const at::Tensor& real, const QParams& y) {
  const at::Tensor table = ops::quantize_per_tensor(real, y, {.dtype = x.dtype}).data;
  return site.call("qnative::lookup", {x.data, site.insert(table)});
}

namespace {

using Function = std::function<at::Tensor(const at::Tensor&)>;

// In-place ops of aten end in an underscore.
bool writes(const CallSite& site) {
  const std::string kind = site.kind();
  if (kind.ends_with("_")) return true;
  return site.has("inplace") && site.flag("inplace");
}

Quantized input(const CallSite& site) {
  for (const char* name : {"self", "qx", "input"}) {
    if (site.has(name)) return site.quantized(name);
  }
  throw Unsupported("its schema is not known");
}

void apply(CallSite& site, const Quantized& x, const Function& function, const QParams& qparams) {
  Quantized y{lookup(site, x, function(values_of(x)), qparams), qparams, x.dtype};
  if (writes(site)) {
    if (!y.same_qparams(x)) throw Unsupported("it writes a tensor whose scale it changes");
    y.data = site.call("aten::copy_", {x.data, y.data});
  }
  site.becomes(y);
}

// Scale and zero point of the output are arguments.
void with_output(CallSite& site, const Function& function) {
  apply(site, input(site), function,
        {site.real("output_scale"), site.integer("output_zero_point")});
}

// The output has the scale and zero point of the input.
void in_kind(CallSite& site, const Function& function) {
  const Quantized x = input(site);
  apply(site, x, function, x.qparams);
}

// Scale and zero point are fixed and cover the range of the function. y: for uint8.
void with_range(CallSite& site, const Function& function, QParams y) {
  const Quantized x = input(site);
  if (x.dtype == at::kChar) y.zero_point -= 128;
  apply(site, x, function, y);
}

double number(const CallSite& site, const char* name, double otherwise) {
  if (!site.has(name) || site.constant(name).isNone()) return otherwise;
  return site.real(name);
}

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// Clamps the data between two codes, in place if the model does.
void clamp(CallSite& site, double least, double most) {
  const Quantized x = input(site);
  const IntRange range = range_of(x.dtype);
  const auto code = [&](double bound) {
    const double q =
        std::nearbyint(bound / x.qparams.scale) + static_cast<double>(x.qparams.zero_point);
    return static_cast<int64_t>(
        std::clamp(q, static_cast<double>(range.min), static_cast<double>(range.max)));
  };
  Value* y =
      site.call(writes(site) ? "aten::clamp_" : "aten::clamp", {x.data, code(least), code(most)});
  site.becomes({y, x.qparams, x.dtype});
}

void relu(CallSite& site) { clamp(site, 0, kInfinity); }
void relu6(CallSite& site) { clamp(site, 0, 6); }

void bounded(CallSite& site) {
  const bool hardtanh = site.has("min_val");
  clamp(site, number(site, hardtanh ? "min_val" : "min", -kInfinity),
        number(site, hardtanh ? "max_val" : "max", kInfinity));
}

at::Tensor sigmoid_of(const at::Tensor& x) { return at::sigmoid(x); }

void sigmoid(CallSite& site) {
  if (site.has("output_scale")) return with_output(site, sigmoid_of);
  with_range(site, sigmoid_of, {1.0 / 256, 0});
}

void tanh(CallSite& site) {
  with_range(site, [](const at::Tensor& x) { return at::tanh(x); }, {2.0 / 256, 128});
}

void hardsigmoid(CallSite& site) {
  with_range(site, [](const at::Tensor& x) { return at::hardsigmoid(x); }, {1.0 / 256, 0});
}

void hardswish(CallSite& site) {
  with_output(site, [](const at::Tensor& x) { return at::hardswish(x); });
}

void elu(CallSite& site) {
  const double alpha = number(site, "alpha", 1);
  const double scale = number(site, "scale", 1);
  const double input_scale = number(site, "input_scale", 1);
  with_output(site, [&](const at::Tensor& x) { return at::elu(x, alpha, scale, input_scale); });
}

void celu(CallSite& site) {
  const double alpha = number(site, "alpha", 1);
  with_output(site, [&](const at::Tensor& x) { return at::celu(x, alpha); });
}

void leaky_relu(CallSite& site) {
  const double slope = number(site, "negative_slope", 0.01);
  const auto function = [&](const at::Tensor& x) { return at::leaky_relu(x, slope); };
  site.has("output_scale") ? with_output(site, function) : in_kind(site, function);
}

void threshold(CallSite& site) {
  const double bound = site.real("threshold");
  const double value = site.real("value");
  in_kind(site, [&](const at::Tensor& x) { return at::threshold(x, bound, value); });
}

void gelu(CallSite& site) {
  const std::string form = site.constant("approximate").toStringRef();
  in_kind(site, [&](const at::Tensor& x) { return at::gelu(x, form); });
}

void dropout(CallSite& site) {
  if (site.flag("training")) throw Unsupported("it is in training mode");
  const Quantized x = input(site);
  site.becomes(x);
}

}  // namespace

const Handlers& function_handlers() {
  static const Handlers handlers = {
      {"aten::relu", relu},
      {"aten::relu_", relu},
      {"aten::relu6", relu6},
      {"aten::relu6_", relu6},
      {"quantized::relu6", relu6},
      {"aten::hardtanh", bounded},
      {"aten::hardtanh_", bounded},
      {"aten::clamp", bounded},
      {"aten::clamp_", bounded},
      {"quantized::clamp", bounded},
      {"aten::sigmoid", sigmoid},
      {"quantized::sigmoid", sigmoid},
      {"aten::tanh", tanh},
      {"aten::hardsigmoid", hardsigmoid},
      {"quantized::hardswish", hardswish},
      {"quantized::elu", elu},
      {"quantized::celu", celu},
      {"aten::leaky_relu", leaky_relu},
      {"aten::leaky_relu_", leaky_relu},
      {"quantized::leaky_relu", leaky_relu},
      {"quantized::threshold", threshold},
      {"aten::threshold", threshold},
      {"aten::gelu", gelu},
      {"quantized::dropout", dropout},
  };
  return handlers;
}

}  // namespace qnative::migration
