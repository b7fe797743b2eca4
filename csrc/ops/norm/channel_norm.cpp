#include <torch/library.h>

#include <numeric>

#include "common/borrow.h"
#include "common/channels.h"
#include "common/dispatch.h"
#include "common/output.h"
#include "norm/moments.h"
#include "norm/norm.h"
#include "qnative/ops/norm.h"

namespace qnative::ops {
namespace {

using Optional = std::optional<at::Tensor>;

template <class Int>
void check_channel_vector(const char* op, const char* name, const Optional& tensor,
                          const at::Tensor& x) {
  if (tensor) {
    check_vector(op, name, *tensor, at::symint::size<Int>(x, 1), "a channel", kDevice<Int>);
  }
}

// All that constants and shapes determine, checked.
struct NormPlan {
  const char* op;
  double eps;
  OutputSpec output;
  norm::Args args;
};

template <class Int>
NormPlan plan_norm(const char* op, const QTensor& x, const NormWeights& weights, double eps,
                   const OutputSpec& y) {
  check_channel_op(op, x, kDevice<Int>);
  check_channel_vector<Int>(op, "weight", weights.weight, x.data);
  check_channel_vector<Int>(op, "bias", weights.bias, x.data);
  check_eps(op, eps);
  check_output(op, y);
  return {.op = op,
          .eps = eps,
          .output = y,
          .args = {.x_zero_point = unsigned_zero_point(x),
                   .x_flip = flip_of(x.data.scalar_type()),
                   .requantize = make_requantize(y)}};
}

template <class Int>
void check_running(const char* op, const QTensor& x, const RunningStats& stats) {
  check_channel_vector<Int>(op, "running_mean", stats.mean, x.data);
  check_channel_vector<Int>(op, "running_var", stats.var, x.data);
}

template <class Int>
NormPlan plan_group_norm(const QTensor& x, int64_t num_groups, const NormWeights& weights,
                         double eps, const OutputSpec& y) {
  const NormPlan plan = plan_norm<Int>("group_norm", x, weights, eps, y);
  const Int channels = at::symint::size<Int>(x.data, 1);
  TORCH_CHECK(num_groups >= 1 && channels % num_groups == 0,
              "qnative::group_norm: num_groups must be positive and divide the channels ", channels,
              ", got ", num_groups);
  return plan;
}

template <class Int>
NormPlan plan_instance_norm(const QTensor& x, const NormWeights& weights,
                            const std::optional<RunningStats>& stats, double eps,
                            const OutputSpec& y) {
  const NormPlan plan = plan_norm<Int>("instance_norm", x, weights, eps, y);
  if (!stats) return plan;
  TORCH_CHECK(stats->mean.defined() && stats->var.defined(),
              "qnative::instance_norm: running_mean and running_var must be tensors without "
              "use_input_stats, got none");
  check_running<Int>("instance_norm", x, *stats);
  return plan;
}

template <class Int>
NormPlan plan_batch_norm(const QTensor& x, const NormWeights& weights, const RunningStats& stats,
                         double eps, const OutputSpec& y) {
  const NormPlan plan = plan_norm<Int>("batch_norm", x, weights, eps, y);
  check_running<Int>("batch_norm", x, stats);
  return plan;
}

// The function of one byte: fma(x - zero point, scale, shift).
struct Scale {
  norm::Args args;

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

at::Tensor run_groups(const NormPlan& plan, const QTensor& x, int64_t groups,
                      const NormWeights& weights) {
  const double y_scale = plan.output.qparams.scale;
  const ChannelTensors t(x.data, plan.output.dtype);
  if (t.y.numel() == 0) return t.y;
  const uint8_t flip = plan.args.x_flip;
  const std::vector<Moments> moments =
      t.channels_innermost ? sum_inner(t, groups, flip) : sum_outer(t, groups, flip);
  const int64_t group_channels = t.channels / groups, constants = t.images * t.channels;
  const Channels weight(weights.weight, 1), bias(weights.bias, 0);
  Scratch scratch(2 * Scratch::bytes<float>(constants));
  auto* const scale = scratch.take<float>(constants);
  auto* const shift = scratch.take<float>(constants);
  for (size_t g = 0; g < moments.size(); ++g) {
    const Normalization unit = normalize(moments[g], group_channels * t.pixels, x.qparams.scale,
                                         plan.args.x_zero_point, plan.eps);
    for (int64_t i = 0; i < group_channels; ++i) {
      const int64_t at = static_cast<int64_t>(g) * group_channels + i, c = at % t.channels;
      scale[at] = static_cast<float>(unit.scale * weight[c] / y_scale);
      shift[at] = static_cast<float>((unit.shift * weight[c] + bias[c]) / y_scale);
    }
  }
  apply_channels(Scale{plan.args}, t, {scale, shift, t.images});
  return t.y;
}

at::Tensor run_running(const NormPlan& plan, const QTensor& x, const NormWeights& weights,
                       const RunningStats& stats) {
  const double y_scale = plan.output.qparams.scale;
  const ChannelTensors t(x.data, plan.output.dtype);
  const Channels weight(weights.weight, 1), bias(weights.bias, 0);
  const Channels mean(stats.mean, 0), var(stats.var, 0);
  Scratch scratch(2 * Scratch::bytes<float>(t.channels));
  auto* const scale = scratch.take<float>(t.channels);
  auto* const shift = scratch.take<float>(t.channels);
  for (int64_t c = 0; c < t.channels; ++c) {
    const double factor = weight[c] / std::sqrt(var[c] + plan.eps);
    scale[c] = static_cast<float>(x.qparams.scale * factor / y_scale);
    shift[c] = static_cast<float>((bias[c] - mean[c] * factor) / y_scale);
    TORCH_CHECK(std::isfinite(scale[c]) && std::isfinite(shift[c]), "qnative::", plan.op,
                ": the constants of channel ", c, " are not finite: weight ", weight[c], ", bias ",
                bias[c], ", running_mean ", mean[c], ", running_var ", var[c], ", eps ", plan.eps);
  }
  if (t.y.numel() != 0) apply_channels(Scale{plan.args}, t, {scale, shift, 1});
  return t.y;
}

QTensor group_norm_meta(const QTensor& x, int64_t num_groups, const NormWeights& weights,
                        double eps, const OutputSpec& y) {
  plan_group_norm<c10::SymInt>(x, num_groups, weights, eps, y);
  return {empty_channels_meta(x.data, y.dtype), y.qparams};
}

QTensor instance_norm_meta(const QTensor& x, const NormWeights& weights,
                           const std::optional<RunningStats>& stats, double eps,
                           const OutputSpec& y) {
  plan_instance_norm<c10::SymInt>(x, weights, stats, eps, y);
  return {empty_channels_meta(x.data, y.dtype), y.qparams};
}

QTensor batch_norm_meta(const QTensor& x, const NormWeights& weights, const RunningStats& stats,
                        double eps, const OutputSpec& y) {
  plan_batch_norm<c10::SymInt>(x, weights, stats, eps, y);
  return {empty_channels_meta(x.data, y.dtype), y.qparams};
}

}  // namespace

QTensor group_norm(const QTensor& x, int64_t num_groups, const NormWeights& weights, double eps,
                   const OutputSpec& y) {
  const at::AutoDispatchBelowADInplaceOrView guard;
  const NormPlan plan = plan_group_norm<int64_t>(x, num_groups, weights, eps, y);
  return {run_groups(plan, x, num_groups, weights), y.qparams};
}

QTensor instance_norm(const QTensor& x, const NormWeights& weights,
                      const std::optional<RunningStats>& stats, double eps, const OutputSpec& y) {
  const at::AutoDispatchBelowADInplaceOrView guard;
  const NormPlan plan = plan_instance_norm<int64_t>(x, weights, stats, eps, y);
  return {
      stats ? run_running(plan, x, weights, *stats) : run_groups(plan, x, x.data.size(1), weights),
      y.qparams};
}

QTensor batch_norm(const QTensor& x, const NormWeights& weights, const RunningStats& stats,
                   double eps, const OutputSpec& y) {
  const at::AutoDispatchBelowADInplaceOrView guard;
  const NormPlan plan = plan_batch_norm<int64_t>(x, weights, stats, eps, y);
  return {run_running(plan, x, weights, stats), y.qparams};
}

namespace {

// The ops of the schemas. kRun: group_norm, instance_norm, batch_norm or its Meta function.
template <auto kRun>
at::Tensor group_norm_op(const at::Tensor& x, double x_scale, int64_t x_zero_point,
                         int64_t num_groups, const Optional& weight, const Optional& bias,
                         double eps, double y_scale, int64_t y_zero_point, at::ScalarType y_dtype) {
  return kRun(BorrowedQTensor(x, {x_scale, x_zero_point}), num_groups, {weight, bias}, eps,
              {.qparams = {y_scale, y_zero_point}, .dtype = y_dtype})
      .data;
}

template <auto kRun>
at::Tensor instance_norm_op(const at::Tensor& x, double x_scale, int64_t x_zero_point,
                            const Optional& weight, const Optional& bias,
                            const Optional& running_mean, const Optional& running_var,
                            bool use_input_stats, double eps, double y_scale, int64_t y_zero_point,
                            at::ScalarType y_dtype) {
  std::optional<RunningStats> stats;
  if (!use_input_stats) {
    stats = RunningStats{running_mean.value_or(at::Tensor()), running_var.value_or(at::Tensor())};
  }
  return kRun(BorrowedQTensor(x, {x_scale, x_zero_point}), {weight, bias}, stats, eps,
              {.qparams = {y_scale, y_zero_point}, .dtype = y_dtype})
      .data;
}

template <auto kRun>
at::Tensor batch_norm_op(const at::Tensor& x, double x_scale, int64_t x_zero_point,
                         const Optional& weight, const Optional& bias,
                         const at::Tensor& running_mean, const at::Tensor& running_var, double eps,
                         double y_scale, int64_t y_zero_point, at::ScalarType y_dtype,
                         std::string_view activation, at::ArrayRef<double> activation_args) {
  return kRun(BorrowedQTensor(x, {x_scale, x_zero_point}), {weight, bias},
              {running_mean, running_var}, eps,
              {.qparams = {y_scale, y_zero_point},
               .dtype = y_dtype,
               .activation = parse_activation("batch_norm", activation, activation_args)})
      .data;
}

}  // namespace

TORCH_LIBRARY_IMPL(qnative, CPU, m) {
  m.impl("group_norm", TORCH_FN(group_norm_op<group_norm>));
  m.impl("instance_norm", TORCH_FN(instance_norm_op<instance_norm>));
  m.impl("batch_norm", TORCH_FN(batch_norm_op<batch_norm>));
}

TORCH_LIBRARY_IMPL(qnative, Meta, m) {
  m.impl("group_norm", TORCH_FN(group_norm_op<group_norm_meta>));
  m.impl("instance_norm", TORCH_FN(instance_norm_op<instance_norm_meta>));
  m.impl("batch_norm", TORCH_FN(batch_norm_op<batch_norm_meta>));
}

}  // namespace qnative::ops
