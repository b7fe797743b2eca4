#include "rewriter.h"

// Pools, mean, resampling, normalizations, softmax and prelu.
namespace qnative::migration {
namespace {

OutputSpec kind_of(const Quantized& x) { return {.qparams = x.qparams, .dtype = x.dtype}; }

void finish(CallSite& site, const std::string& op, const Args& args, const OutputSpec& y) {
  site.becomes({site.call(op, args), y.qparams, y.dtype});
}

// y in scale, zero point and dtype of x.
void finish_in_kind(CallSite& site, const std::string& op, Args args, const Quantized& x) {
  add_output(args, kind_of(x));
  finish(site, op, args, kind_of(x));
}

Args with_qparams(const Quantized& x) {
  Args args;
  add_input(args, x);
  return args;
}

std::string plain_name(const CallSite& site) {
  const std::string kind = site.kind();
  return kind.substr(kind.rfind(':') + 1);
}

void max_pool(CallSite& site) {
  const Quantized x = site.quantized(site.has("self") ? "self" : "qx");
  Args args{x.data};
  for (const char* name : {"kernel_size", "stride", "padding", "dilation", "ceil_mode"}) {
    args.emplace_back(site.arg(name));
  }
  finish(site, "qnative::" + plain_name(site), args, kind_of(x));
}

void avg_pool(CallSite& site) {
  const Quantized x = site.quantized("self");
  Args args = with_qparams(x);
  for (const char* name :
       {"kernel_size", "stride", "padding", "ceil_mode", "count_include_pad", "divisor_override"}) {
    if (site.has(name)) args.emplace_back(site.arg(name));
  }
  finish_in_kind(site, "qnative::" + plain_name(site), args, x);
}

void adaptive_avg_pool(CallSite& site) {
  const Quantized x = site.quantized("self");
  Args args = with_qparams(x);
  args.emplace_back(site.arg("output_size"));
  finish_in_kind(site, "qnative::" + plain_name(site), args, x);
}

void mean(CallSite& site) {
  const Quantized x = site.quantized("self");
  if (!site.constant("dtype").isNone()) throw Unsupported("it changes the dtype");
  Args args = with_qparams(x);
  args.emplace_back(site.has("dim") ? site.arg("dim") : site.insert(IValue()));
  args.emplace_back(site.has("keepdim") ? site.arg("keepdim") : site.insert(false));
  finish_in_kind(site, "qnative::mean", args, x);
}

const char* interpolation_mode(const std::string& op) {
  const std::pair<const char*, const char*> kModes[] = {
      {"_upsample_nearest_exact", "nearest-exact"},
      {"upsample_nearest", "nearest"},
      {"upsample_linear", "linear"},
      {"upsample_bilinear", "bilinear"},
      {"upsample_bicubic", "bicubic"},
      {"upsample_trilinear", "trilinear"}};
  for (const auto& [prefix, mode] : kModes) {
    if (op.starts_with(prefix)) return mode;
  }
  throw Unsupported("its mode is not known");
}

void interpolate(CallSite& site) {
  const Quantized x = site.quantized(site.has("input") ? "input" : "self");
  for (const char* name : {"scales", "scales_d", "scales_h", "scales_w"}) {
    if (site.has(name) && !site.constant(name).isNone()) {
      throw Unsupported("it has both a size and scale factors");
    }
  }
  Args args = with_qparams(x);
  args.emplace_back(site.arg("output_size"));
  args.emplace_back(site.has("scale_factors") ? site.arg("scale_factors") : site.insert(IValue()));
  args.emplace_back(interpolation_mode(plain_name(site)));
  args.emplace_back(site.has("align_corners") ? site.arg("align_corners") : site.insert(IValue()));
  finish_in_kind(site, "qnative::interpolate", args, x);
}

// ---- outputs with their own scale and zero point -------------------------------------------

void finish(CallSite& site, const std::string& op, Args args, at::ScalarType dtype) {
  const OutputSpec y{.qparams = {site.real("output_scale"), site.integer("output_zero_point")},
                     .dtype = dtype};
  add_output(args, y);
  if (site.kind().ends_with("_relu")) args.emplace_back("relu");
  finish(site, op, args, y);
}

void add_arguments(const CallSite& site, Args& args, std::initializer_list<const char*> names) {
  for (const char* name : names) args.emplace_back(site.arg(name));
}

void layer_norm(CallSite& site) {
  const Quantized x = site.quantized("input");
  Args args = with_qparams(x);
  add_arguments(site, args, {"normalized_shape", "weight", "bias", "eps"});
  finish(site, "qnative::layer_norm", args, x.dtype);
}

void group_norm(CallSite& site) {
  const Quantized x = site.quantized("input");
  Args args = with_qparams(x);
  add_arguments(site, args, {"num_groups", "weight", "bias", "eps"});
  finish(site, "qnative::group_norm", args, x.dtype);
}

void instance_norm(CallSite& site) {
  const Quantized x = site.quantized("input");
  Args args = with_qparams(x);
  add_arguments(site, args, {"weight", "bias"});
  for (int i = 0; i < 2; ++i) args.emplace_back(site.insert(IValue()));
  args.emplace_back(site.insert(true));
  add_arguments(site, args, {"eps"});
  finish(site, "qnative::instance_norm", args, x.dtype);
}

void batch_norm(CallSite& site) {
  const Quantized x = site.quantized("qx");
  Args args = with_qparams(x);
  add_arguments(site, args, {"weight", "bias", "mean", "var", "eps"});
  finish(site, "qnative::batch_norm", args, x.dtype);
}

void softmax(CallSite& site) {
  const Quantized x = site.quantized("qx");
  Args args = with_qparams(x);
  add_arguments(site, args, {"dim"});
  finish(site, "qnative::softmax", args, x.dtype);
}

// The slopes are quantized constants.
void prelu(CallSite& site) {
  const Quantized x = site.quantized("qx");
  at::Tensor slope = site.constant("weight").toTensor();
  if (slope.is_quantized()) slope = slope.dequantize();
  Args args = with_qparams(x);
  args.emplace_back(site.insert(slope.detach()));
  finish(site, "qnative::prelu", args, x.dtype);
}

}  // namespace

const Handlers& pool_handlers() {
  static const Handlers handlers = [] {
    Handlers all = {
        {"quantized::max_pool1d", max_pool},
        {"quantized::max_pool2d", max_pool},
        {"aten::mean", mean},
        {"quantized::layer_norm", layer_norm},
        {"quantized::group_norm", group_norm},
        {"quantized::instance_norm", instance_norm},
        {"quantized::softmax", softmax},
        {"quantized::prelu", prelu},
        {"aten::upsample_linear1d", interpolate},
        {"aten::upsample_bilinear2d", interpolate},
        {"aten::upsample_bicubic2d", interpolate},
        {"aten::upsample_trilinear3d", interpolate},
    };
    for (const char* dims : {"", "1d", "2d", "3d"}) {
      for (const char* relu : {"", "_relu"}) {
        all.emplace(std::string("quantized::batch_norm") + dims + relu, batch_norm);
      }
    }
    for (const char* dims : {"1d", "2d", "3d"}) {
      all.emplace(std::string("aten::max_pool") + dims, max_pool);
      all.emplace(std::string("aten::avg_pool") + dims, avg_pool);
      all.emplace(std::string("aten::adaptive_avg_pool") + dims, adaptive_avg_pool);
      all.emplace(std::string("aten::upsample_nearest") + dims, interpolate);
      all.emplace(std::string("aten::_upsample_nearest_exact") + dims, interpolate);
    }
    return all;
  }();
  return handlers;
}

}  // namespace qnative::migration
