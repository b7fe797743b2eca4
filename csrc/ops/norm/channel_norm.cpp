#include <torch/library.h>

#include <numeric>

#include "common/channels.h"
#include "common/dispatch.h"
#include "norm/moments.h"
#include "norm/norm.h"
#include "product/channel_params.h"
#include "qnative/ops/norm.h"

namespace qnative::ops {
namespace {

using Optional = std::optional<at::Tensor>;

template <class Int>
void check_channel_vector(const char* op, const char* name, const Optional& tensor,
                          const at::Tensor& x, at::DeviceType device) {
  if (tensor) check_vector(op, name, *tensor, at::symint::size<Int>(x, 1), "a channel", device);
}

// What all of these ops take.
struct Input {
  const at::Tensor& x;
  double scale;
  int64_t zero_point;
  const Optional& weight;
  const Optional& bias;
  double eps;
};

template <class Int>
void check_input(const char* op, const Input& input, at::DeviceType device) {
  check_channel_op(op, input.x, input.scale, input.zero_point, device);
  check_channel_vector<Int>(op, "weight", input.weight, input.x, device);
  check_channel_vector<Int>(op, "bias", input.bias, input.x, device);
  check_eps(op, input.eps);
}

template <class Int>
void check_groups(const at::Tensor& x, int64_t num_groups) {
  const Int channels = at::symint::size<Int>(x, 1);
  TORCH_CHECK(num_groups >= 1 && channels % num_groups == 0,
              "qnative::group_norm: num_groups must be positive and divide the channels ", channels,
              ", got ", num_groups);
}

template <class Int>
void check_running(const char* op, const Input& input, const Optional& mean, const Optional& var,
                   at::DeviceType device) {
  TORCH_CHECK(mean && var, "qnative::", op,
              ": running_mean and running_var must be tensors without use_input_stats, got none");
  check_channel_vector<Int>(op, "running_mean", mean, input.x, device);
  check_channel_vector<Int>(op, "running_var", var, input.x, device);
}

// The function of one byte: fma(x - zero point, scale, shift).
struct Scale {
  norm::Args args;

  Scale(const Input& input, const OutputSpec& output)
      : args{.x_zero_point = unsigned_zero_point(input.zero_point, input.x.scalar_type()),
             .x_flip = flip_of(input.x.scalar_type()),
             .requantize = make_requantize(output)} {}

  void run(const uint8_t* x, uint8_t* y, int64_t n, float scale, float shift) const {
    static auto& kernel = select(norm::scale_kernels());
    kernel(args, x, y, n, scale, shift);
  }
  void run_each(const uint8_t* x, uint8_t* y, int64_t n, const float* scale,
                const float* shift) const {
    static auto& kernel = select(norm::scale_each_kernels());
    kernel(args, x, y, n, scale, shift);
  }
};

// A vector of channels as contiguous floats, or the same number for all.
class Channels {
 public:
  Channels(const Optional& tensor, float otherwise) : otherwise_(otherwise) {
    if (!tensor) return;
    tensor_ = tensor->contiguous();
    data_ = tensor_.const_data_ptr<float>();
  }
  double operator[](int64_t c) const { return data_ ? data_[c] : otherwise_; }

 private:
  float otherwise_;
  at::Tensor tensor_;
  const float* data_ = nullptr;
};

// ---- statistics ----------------------------------------------------------------------------

// The sums of each group, [N][groups], of a contiguous tensor.
std::vector<Moments> sum_outer(const ChannelTensors& t, int64_t groups, uint8_t flip) {
  static auto& sum = select(norm::sum_kernels());
  const int64_t sets = t.images * groups, size = t.channels / groups * t.pixels;
  const int64_t tasks = count_tasks(sets * size, kChannelGrain);
  const int64_t parts = std::min((tasks + sets - 1) / sets, size);
  std::vector<Moments> partial(sets * parts);
  run_parts(sets * parts, size / parts, kChannelGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const Part part = part_of(size, parts, i % parts);
      sum(t.x_bytes() + i / parts * size + part.begin, part.end - part.begin, flip, &partial[i].sum,
          &partial[i].squares);
    }
  });
  if (parts == 1) return partial;
  std::vector<Moments> moments(sets);
  for (int64_t i = 0; i < sets * parts; ++i) {
    moments[i / parts].sum += partial[i].sum;
    moments[i / parts].squares += partial[i].squares;
  }
  return moments;
}

// The same of a channels_last tensor: the sums of every channel come first.
std::vector<Moments> sum_inner(const ChannelTensors& t, int64_t groups, uint8_t flip) {
  static auto& sum_columns = select(norm::sum_columns_kernels());
  // Several pixels of few channels make a row.
  const int64_t repeat = std::clamp<int64_t>(64 / t.channels, 1, t.pixels);
  const int64_t width = repeat * t.channels;
  const int64_t tasks = count_tasks(t.images * t.pixels * t.channels, kChannelGrain);
  const int64_t parts = std::min((tasks + t.images - 1) / t.images, t.pixels);
  std::vector<int64_t> partial(t.images * parts * 2 * width);
  run_parts(t.images * parts, t.pixels / parts * t.channels, kChannelGrain,
            [&](int64_t begin, int64_t end) {
              for (int64_t i = begin; i < end; ++i) {
                const Part part = part_of(t.pixels, parts, i % parts);
                const int64_t rows = (part.end - part.begin) / repeat;
                const int64_t rest = (part.end - part.begin) % repeat * t.channels;
                const uint8_t* x = t.x_bytes() + (i / parts * t.pixels + part.begin) * t.channels;
                int64_t* const sum = &partial[i * 2 * width];
                sum_columns(x, rows, width, width, flip, sum, sum + width);
                sum_columns(x + rows * width, 1, width, rest, flip, sum, sum + width);
              }
            });
  std::vector<Moments> moments(t.images * groups);
  for (int64_t i = 0; i < t.images * parts; ++i) {
    const int64_t* const sum = &partial[i * 2 * width];
    for (int64_t j = 0; j < width; ++j) {
      const int64_t group = j % t.channels / (t.channels / groups);
      Moments& of_group = moments[i / parts * groups + group];
      of_group.sum += sum[j];
      of_group.squares += sum[width + j];
    }
  }
  return moments;
}

at::Tensor normalize_groups(const Input& input, int64_t groups, const OutputSpec& output) {
  const ChannelTensors t(input.x, output.dtype);
  if (t.y.numel() == 0) return t.y;
  const Scale op(input, output);
  const std::vector<Moments> moments = t.channels_innermost ? sum_inner(t, groups, op.args.x_flip)
                                                            : sum_outer(t, groups, op.args.x_flip);
  const int64_t group_channels = t.channels / groups, constants = t.images * t.channels;
  const Channels weight(input.weight, 1), bias(input.bias, 0);
  Scratch scratch(2 * Scratch::bytes<float>(constants));
  auto* const scale = scratch.take<float>(constants);
  auto* const shift = scratch.take<float>(constants);
  for (size_t g = 0; g < moments.size(); ++g) {
    const Normalization unit = normalize(moments[g], group_channels * t.pixels, input.scale,
                                         op.args.x_zero_point, input.eps);
    for (int64_t i = 0; i < group_channels; ++i) {
      const int64_t at = static_cast<int64_t>(g) * group_channels + i, c = at % t.channels;
      scale[at] = static_cast<float>(unit.scale * weight[c] / output.qparams.scale);
      shift[at] = static_cast<float>((unit.shift * weight[c] + bias[c]) / output.qparams.scale);
    }
  }
  apply_channels(op, t, {scale, shift, t.images});
  return t.y;
}

at::Tensor normalize_running(const char* op_name, const Input& input, const at::Tensor& mean,
                             const at::Tensor& var, const OutputSpec& output) {
  const ChannelTensors t(input.x, output.dtype);
  const Channels weight(input.weight, 1), bias(input.bias, 0), means(mean, 0), vars(var, 0);
  Scratch scratch(2 * Scratch::bytes<float>(t.channels));
  auto* const scale = scratch.take<float>(t.channels);
  auto* const shift = scratch.take<float>(t.channels);
  for (int64_t c = 0; c < t.channels; ++c) {
    const double factor = weight[c] / std::sqrt(vars[c] + input.eps);
    scale[c] = static_cast<float>(input.scale * factor / output.qparams.scale);
    shift[c] = static_cast<float>((bias[c] - means[c] * factor) / output.qparams.scale);
    TORCH_CHECK(std::isfinite(scale[c]) && std::isfinite(shift[c]), "qnative::", op_name,
                ": the constants of channel ", c, " are not finite: weight ", weight[c], ", bias ",
                bias[c], ", running_mean ", means[c], ", running_var ", vars[c], ", eps ",
                input.eps);
  }
  if (t.y.numel() != 0) apply_channels(Scale(input, output), t, {scale, shift, 1});
  return t.y;
}

// ---- meta ----------------------------------------------------------------------------------

at::Tensor group_norm_meta(const at::Tensor& x, double x_scale, int64_t x_zero_point,
                           int64_t num_groups, const Optional& weight, const Optional& bias,
                           double eps, double y_scale, int64_t y_zero_point,
                           at::ScalarType y_dtype) {
  check_input<c10::SymInt>("group_norm", {x, x_scale, x_zero_point, weight, bias, eps}, at::kMeta);
  check_groups<c10::SymInt>(x, num_groups);
  make_output("group_norm", y_scale, y_zero_point, y_dtype);
  return empty_channels_meta(x, y_dtype);
}

at::Tensor instance_norm_meta(const at::Tensor& x, double x_scale, int64_t x_zero_point,
                              const Optional& weight, const Optional& bias,
                              const Optional& running_mean, const Optional& running_var,
                              bool use_input_stats, double eps, double y_scale,
                              int64_t y_zero_point, at::ScalarType y_dtype) {
  const Input input{x, x_scale, x_zero_point, weight, bias, eps};
  check_input<c10::SymInt>("instance_norm", input, at::kMeta);
  if (!use_input_stats) {
    check_running<c10::SymInt>("instance_norm", input, running_mean, running_var, at::kMeta);
  }
  make_output("instance_norm", y_scale, y_zero_point, y_dtype);
  return empty_channels_meta(x, y_dtype);
}

at::Tensor batch_norm_meta(const at::Tensor& x, double x_scale, int64_t x_zero_point,
                           const Optional& weight, const Optional& bias,
                           const at::Tensor& running_mean, const at::Tensor& running_var,
                           double eps, double y_scale, int64_t y_zero_point, at::ScalarType y_dtype,
                           std::string_view activation, at::ArrayRef<double> activation_args) {
  const Input input{x, x_scale, x_zero_point, weight, bias, eps};
  check_input<c10::SymInt>("batch_norm", input, at::kMeta);
  check_running<c10::SymInt>("batch_norm", input, running_mean, running_var, at::kMeta);
  make_output("batch_norm", y_scale, y_zero_point, y_dtype, activation, activation_args);
  return empty_channels_meta(x, y_dtype);
}

}  // namespace

at::Tensor group_norm(const at::Tensor& x, double x_scale, int64_t x_zero_point, int64_t num_groups,
                      const std::optional<at::Tensor>& weight,
                      const std::optional<at::Tensor>& bias, double eps, double y_scale,
                      int64_t y_zero_point, at::ScalarType y_dtype) {
  const at::AutoDispatchBelowADInplaceOrView guard;
  const Input input{x, x_scale, x_zero_point, weight, bias, eps};
  check_input<int64_t>("group_norm", input, at::kCPU);
  check_groups<int64_t>(x, num_groups);
  return normalize_groups(input, num_groups,
                          make_output("group_norm", y_scale, y_zero_point, y_dtype));
}

at::Tensor instance_norm(const at::Tensor& x, double x_scale, int64_t x_zero_point,
                         const std::optional<at::Tensor>& weight,
                         const std::optional<at::Tensor>& bias,
                         const std::optional<at::Tensor>& running_mean,
                         const std::optional<at::Tensor>& running_var, bool use_input_stats,
                         double eps, double y_scale, int64_t y_zero_point, at::ScalarType y_dtype) {
  const at::AutoDispatchBelowADInplaceOrView guard;
  const Input input{x, x_scale, x_zero_point, weight, bias, eps};
  check_input<int64_t>("instance_norm", input, at::kCPU);
  if (!use_input_stats) {
    check_running<int64_t>("instance_norm", input, running_mean, running_var, at::kCPU);
  }
  const OutputSpec output = make_output("instance_norm", y_scale, y_zero_point, y_dtype);
  return use_input_stats
             ? normalize_groups(input, x.size(1), output)
             : normalize_running("instance_norm", input, *running_mean, *running_var, output);
}

at::Tensor batch_norm(const at::Tensor& x, double x_scale, int64_t x_zero_point,
                      const std::optional<at::Tensor>& weight,
                      const std::optional<at::Tensor>& bias, const at::Tensor& running_mean,
                      const at::Tensor& running_var, double eps, double y_scale,
                      int64_t y_zero_point, at::ScalarType y_dtype, std::string_view activation,
                      at::ArrayRef<double> activation_args) {
  const at::AutoDispatchBelowADInplaceOrView guard;
  const Input input{x, x_scale, x_zero_point, weight, bias, eps};
  check_input<int64_t>("batch_norm", input, at::kCPU);
  check_running<int64_t>("batch_norm", input, running_mean, running_var, at::kCPU);
  return normalize_running(
      "batch_norm", input, running_mean, running_var,
      make_output("batch_norm", y_scale, y_zero_point, y_dtype, activation, activation_args));
}

TORCH_LIBRARY_IMPL(qnative, CPU, m) {
  m.impl("group_norm", TORCH_FN(group_norm));
  m.impl("instance_norm", TORCH_FN(instance_norm));
  m.impl("batch_norm", TORCH_FN(batch_norm));
}

TORCH_LIBRARY_IMPL(qnative, Meta, m) {
  m.impl("group_norm", TORCH_FN(group_norm_meta));
  m.impl("instance_norm", TORCH_FN(instance_norm_meta));
  m.impl("batch_norm", TORCH_FN(batch_norm_meta));
}

}  // namespace qnative::ops
