#include <cmath>
#include <functional>

#include "functions.h"
#include "qnative/ops.h"
#include "weights.h"

// Layers with packed weights, and arithmetic of quantized tensors.
namespace qnative::migration {
namespace {

bool ends_in_relu(const std::string& kind) { return kind.ends_with("_relu"); }

OutputSpec output(const CallSite& site, at::ScalarType dtype, const char* scale = "output_scale",
                  const char* zero_point = "output_zero_point") {
  return {.qparams = {site.real(scale), site.integer(zero_point)}, .dtype = dtype};
}

// Calls `op` with the output parameters and the activation as last arguments, and replaces the
// node.
void finish_static(CallSite& site, const std::string& op, Args args, const OutputSpec& y) {
  add_output(args, y);
  if (ends_in_relu(site.kind())) args.emplace_back("relu");
  site.becomes({site.call(op, args), y.qparams, y.dtype});
}

// Computes y in float32, applies the activation, then quantizes.
void finish_in_float(CallSite& site, const std::string& op, Args args, const OutputSpec& y,
                     const std::function<Value*(Value*)>& then) {
  add_output(args, {.dtype = at::kFloat});
  Value* real = then(site.call(op, args));
  Args quantized{real};
  add_output(quantized, y);
  site.becomes({site.call("qnative::quantize_per_tensor", quantized), y.qparams, y.dtype});
}

// ---- linear --------------------------------------------------------------------------------

void linear_weight(CallSite& site, Args& args) {
  const IValue packed = site.constant("W_prepack");
  auto& made = site.packed(identity(packed))["linear"];
  if (made.empty()) {
    const Int8Weight weight = int8_weight(call_unpacker("quantized::linear_unpack", packed), 0);
    made = {ops::linear_pack(weight.values), weight.scale, as_constant(weight.bias),
            weight.values.sizes().vec()};
  }
  for (const IValue& each : made) args.emplace_back(site.insert(each));
}

void linear(CallSite& site) {
  const Quantized x = site.quantized("X");
  Args args;
  add_input(args, x);
  linear_weight(site, args);
  const OutputSpec y = output(site, x.dtype, "Y_scale_i", "Y_zero_point_i");
  if (site.kind() == "quantized::linear_leaky_relu") {
    return finish_in_float(site, "qnative::linear", args, y, [&](Value* real) {
      return site.call("aten::leaky_relu", {real, site.arg("negative_slope")});
    });
  }
  if (site.kind() == "quantized::linear_tanh") {
    return finish_in_float(site, "qnative::linear", args, y,
                           [&](Value* real) { return site.call("aten::tanh", {real}); });
  }
  finish_static(site, "qnative::linear", args, y);
}

// ---- conv ----------------------------------------------------------------------------------

struct ConvKind {
  bool transposed;
  int64_t dims;

  std::string name() const {
    return std::string(transposed ? "conv_transpose" : "conv") + std::to_string(dims) + "d";
  }
  // 1-d convolutions are packed as 2-d convolutions.
  std::string getter(const std::string& what) const {
    const std::string packed = std::to_string(std::max<int64_t>(dims, 2)) + "d_";
    return std::string("quantized::conv") + (transposed ? "_transpose" : "") + packed + what;
  }
};

ConvKind conv_kind(const std::string& kind) {
  return {kind.find("conv_transpose") != std::string::npos, kind[kind.find_first_of("123")] - '0'};
}

std::vector<int64_t> geometry(const ConvKind& kind, const char* what, const IValue& packed) {
  std::vector<int64_t> values = call_unpacker(kind.getter(what), packed)[0].toIntVector();
  values.erase(values.begin(), values.end() - kind.dims);
  return values;
}

at::Tensor pack(const ConvKind& kind, const at::Tensor& weight, int64_t groups) {
  using Pack = at::Tensor (*)(const at::Tensor&, int64_t);
  constexpr Pack kPacks[2][3] = {
      {ops::conv1d_pack, ops::conv2d_pack, ops::conv3d_pack},
      {ops::conv_transpose1d_pack, ops::conv_transpose2d_pack, ops::conv_transpose3d_pack}};
  return kPacks[kind.transposed][kind.dims - 1](weight, groups);
}

// weight, weight_scale, bias, weight_shape, stride, padding, (output_padding,) dilation, groups
std::vector<IValue> conv_constants(const ConvKind& kind, const IValue& packed) {
  const int64_t groups = call_unpacker(kind.getter("groups"), packed)[0].toInt();
  Int8Weight weight =
      int8_weight(call_unpacker(kind.getter("unpack"), packed), kind.transposed ? 1 : 0);
  if (kind.dims == 1) weight.values = weight.values.squeeze(2);
  if (kind.transposed) weight.scale = weight.scale.repeat({groups});
  std::vector<IValue> made = {pack(kind, weight.values, groups), weight.scale,
                              as_constant(weight.bias),          weight.values.sizes().vec(),
                              geometry(kind, "stride", packed),  geometry(kind, "padding", packed)};
  if (kind.transposed) made.emplace_back(geometry(kind, "output_padding", packed));
  made.emplace_back(geometry(kind, "dilation", packed));
  made.emplace_back(groups);
  return made;
}

void conv(CallSite& site) {
  const ConvKind kind = conv_kind(site.kind());
  const Quantized x = site.quantized("qx");
  const bool adds = site.has("qaccum");
  const IValue packed = site.constant(site.node()->input(adds ? 2 : 1), "packed_weight");
  Args args;
  add_input(args, x);
  auto& made = site.packed(identity(packed))[kind.name()];
  if (made.empty()) made = conv_constants(kind, packed);
  for (const IValue& each : made) args.emplace_back(site.insert(each));
  const OutputSpec y = output(site, x.dtype);
  const std::string op = "qnative::" + kind.name();
  if (!adds) return finish_static(site, op, args, y);
  const Quantized sum = site.quantized("qaccum");
  finish_in_float(site, op, args, y, [&](Value* real) {
    Args quantized;
    add_input(quantized, sum);
    Value* other = site.call("qnative::dequantize_per_tensor", quantized);
    Value* total = site.call("aten::add", {real, other});
    return ends_in_relu(site.kind()) ? site.call("aten::relu", {total}) : total;
  });
}

// ---- arithmetic ----------------------------------------------------------------------------

void binary(CallSite& site, const char* op) {
  const Quantized a = site.quantized("qa");
  Args args;
  add_input(args, a);
  add_input(args, site.quantized("qb"));
  finish_static(site, op, args, output(site, a.dtype, "scale", "zero_point"));
}

// As upstream, adding a number moves the zero point; if that leaves the range of the dtype, scale
// and zero point cover the range of the sums.
void add_number(CallSite& site, const Quantized& x, double number) {
  const IntRange range = range_of(x.dtype);
  const auto steps = static_cast<int64_t>(std::nearbyint(number / x.qparams.scale));
  const int64_t moved = x.qparams.zero_point - steps;
  const auto width = static_cast<double>(range.max - range.min);
  QParams y{x.qparams.scale, moved};
  if (moved < range.min) {
    y.scale = static_cast<double>(range.max - moved) / width * x.qparams.scale;
    y.zero_point = range.min;
  } else if (moved > range.max) {
    y.scale = static_cast<double>(moved - range.min) / width * x.qparams.scale;
    y.zero_point = range.max;
  }
  const bool relu = ends_in_relu(site.kind());
  at::Tensor real = values_of(x) + static_cast<double>(steps) * x.qparams.scale;
  if (relu) real = real.clamp_min(0);
  Value* data = x.data;
  if (relu || y.zero_point != moved) data = lookup(site, x, real, y);
  site.becomes({data, y, x.dtype});
}

void multiply_number(CallSite& site, const Quantized& x, double number) {
  const IntRange range = range_of(x.dtype);
  QParams y{x.qparams.scale * std::abs(number), x.qparams.zero_point};
  if (number == 0) y = {1.0, 0};
  if (number < 0) y.zero_point = range.min + range.max - x.qparams.zero_point;
  const bool relu = ends_in_relu(site.kind());
  at::Tensor real = values_of(x) * number;
  if (relu) real = real.clamp_min(0);
  Value* data = x.data;
  if (relu || number <= 0) data = lookup(site, x, real, y);
  site.becomes({data, y, x.dtype});
}

void with_number(CallSite& site, void (*apply)(CallSite&, const Quantized&, double)) {
  apply(site, site.quantized("qa"), site.real("b"));
}

void add(CallSite& site) {
  site.has("b") ? with_number(site, add_number) : binary(site, "qnative::add");
}

void mul(CallSite& site) {
  site.has("b") ? with_number(site, multiply_number) : binary(site, "qnative::mul");
}

void matmul(CallSite& site) { binary(site, "qnative::matmul"); }

void cat(CallSite& site) {
  const char* name = site.has("qx") ? "qx" : "tensors";
  const std::vector<Quantized> all = site.elements(name);
  const Quantized& first = all[0];
  OutputSpec y{.qparams = first.qparams, .dtype = first.dtype};
  if (site.has("scale") && !site.constant("scale").isNone()) y.qparams.scale = site.real("scale");
  if (site.has("zero_point") && !site.constant("zero_point").isNone()) {
    y.qparams.zero_point = site.integer("zero_point");
  }
  std::vector<Value*> data;
  std::vector<double> scales;
  std::vector<int64_t> zero_points;
  for (const Quantized& each : all) {
    data.push_back(each.data);
    scales.push_back(each.qparams.scale);
    zero_points.push_back(each.qparams.zero_point);
  }
  Graph& graph = *site.node()->owningGraph();
  Value* list = graph.insertNode(graph.createList(c10::TensorType::get(), data))->output();
  Args args{list, site.insert(scales), site.insert(zero_points), site.arg("dim")};
  add_output(args, y);
  Value* joined = site.call("qnative::cat", args);
  if (ends_in_relu(site.kind())) joined = site.call("aten::clamp", {joined, y.qparams.zero_point});
  site.becomes({joined, y.qparams, y.dtype});
}

// ---- quantize, dequantize ------------------------------------------------------------------

void quantize(CallSite& site) {
  const auto dtype = static_cast<at::ScalarType>(site.integer("dtype"));
  if (dtype != at::kQUInt8 && dtype != at::kQInt8) {
    throw Unsupported(std::string("its dtype is ") + c10::toString(dtype));
  }
  if (!site.has("self")) throw Unsupported("it quantizes a list");
  const OutputSpec y = output(site, c10::toUnderlying(dtype), "scale", "zero_point");
  Args args{site.arg("self")};
  add_output(args, y);
  site.becomes({site.call("qnative::quantize_per_tensor", args), y.qparams, y.dtype});
}

void dequantize(CallSite& site) {
  if (!site.has("self")) throw Unsupported("it dequantizes a list");
  Args args;
  add_input(args, site.quantized("self"));
  site.becomes(site.call("qnative::dequantize_per_tensor", args));
}

}  // namespace

const Handlers& static_handlers() {
  static const Handlers handlers = [] {
    Handlers all = {
        {"quantized::add", add},
        {"quantized::add_relu", add},
        {"quantized::add_scalar", add},
        {"quantized::add_scalar_relu", add},
        {"quantized::mul", mul},
        {"quantized::mul_relu", mul},
        {"quantized::mul_scalar", mul},
        {"quantized::mul_scalar_relu", mul},
        {"quantized::matmul", matmul},
        {"quantized::cat", cat},
        {"quantized::cat_relu", cat},
        {"aten::cat", cat},
        {"aten::concat", cat},
        {"aten::quantize_per_tensor", quantize},
        {"aten::dequantize", dequantize},
        {"quantized::conv2d_add", conv},
        {"quantized::conv2d_add_relu", conv},
    };
    for (const char* suffix : {"", "_relu", "_leaky_relu", "_tanh"}) {
      all.emplace(std::string("quantized::linear") + suffix, linear);
    }
    for (const char* dims : {"1d", "2d", "3d"}) {
      all.emplace(std::string("quantized::conv") + dims, conv);
      all.emplace(std::string("quantized::conv") + dims + "_relu", conv);
      all.emplace(std::string("quantized::conv_transpose") + dims, conv);
    }
    return all;
  }();
  return handlers;
}

}  // namespace qnative::migration
