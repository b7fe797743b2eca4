#include "conv/plan.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <optional>
#include <string>

#include "common/checks.h"
#include "common/output.h"

namespace qnative::ops {
namespace {

constexpr const char* kAxisNames[] = {"depth", "height", "width"};

// First index into Spatial<T> of a convolution of `dims` dimensions.
size_t first_axis(const ConvKind& kind) { return 3 - kind.dims; }

// One value or one for each dimension, in [least, 2^31); `neutral` elsewhere.
Spatial<int64_t> expand(const ConvKind& kind, const char* name, at::IntArrayRef values,
                        int64_t least, int64_t neutral) {
  const auto dims = static_cast<size_t>(kind.dims);
  TORCH_CHECK(values.size() == 1 || values.size() == dims, "qnative::", kind.name, ": ", name,
              " must have 1", dims > 1 ? " or " + std::to_string(dims) + " values" : " value",
              ", got ", values);
  Spatial<int64_t> spatial;
  spatial.fill(neutral);
  for (size_t i = 0; i < dims; ++i) {
    const int64_t value = values[values.size() == 1 ? 0 : i];
    TORCH_CHECK(is_extent(value, least), "qnative::", kind.name, ": ", name, " must be in [", least,
                ", 2^31), got ", values);
    spatial[first_axis(kind) + i] = value;
  }
  return spatial;
}

// Numbers: one, one for each dimension, or two for each.
void set_padding(ConvArgs& args, at::IntArrayRef padding) {
  const ConvKind& kind = args.kind;
  const auto dims = static_cast<size_t>(kind.dims);
  if (!kind.transposed && padding.size() == 2 * dims) {
    at::DimVector begin, end;
    for (size_t i = 0; i < dims; ++i) {
      begin.push_back(padding[2 * i]);
      end.push_back(padding[2 * i + 1]);
    }
    args.padding_begin = expand(kind, "padding", begin, 0, 0);
    args.padding_end = expand(kind, "padding", end, 0, 0);
    return;
  }
  TORCH_CHECK(kind.transposed || padding.size() == 1 || padding.size() == dims,
              "qnative::", kind.name, ": padding must have 1",
              dims > 1 ? ", " + std::to_string(dims) : "", " or ", 2 * dims, " values, got ",
              padding);
  args.padding_begin = args.padding_end = expand(kind, "padding", padding, 0, 0);
}

void set_same_padding(ConvArgs& args, at::IntArrayRef stride) {
  TORCH_CHECK(!args.kind.transposed, "qnative::", args.kind.name,
              ": padding must be numbers, got 'same'");
  TORCH_CHECK(args.stride == (Spatial<int64_t>{1, 1, 1}), "qnative::", args.kind.name,
              ": padding 'same' needs stride 1, got ", stride);
  for (size_t i = 0; i < 3; ++i) {
    const int64_t total = args.extent(i) - 1;
    args.padding_begin[i] = total / 2;
    args.padding_end[i] = total - total / 2;
  }
}

void set_output_padding(ConvArgs& args, const ConvGeometry& geometry) {
  const char* const op = args.kind.name;
  const at::IntArrayRef values = geometry.output_padding;
  if (!args.kind.transposed) {
    const bool none = std::all_of(values.begin(), values.end(), [](int64_t v) { return v == 0; });
    TORCH_CHECK(none, "qnative::", op, ": output_padding is for transposed convolutions, got ",
                values);
    return;
  }
  args.output_padding = expand(args.kind, "output_padding", values, 0, 0);
  for (size_t i = 0; i < 3; ++i) {
    TORCH_CHECK(args.output_padding[i] < std::max(args.stride[i], args.dilation[i]),
                "qnative::", op, ": output_padding must be less than stride or dilation, got ",
                values, " for stride ", at::IntArrayRef(geometry.stride), " and dilation ",
                at::IntArrayRef(geometry.dilation));
  }
}

template <class Int>
void check_input(const ConvKind& kind, at::ArrayRef<Int> sizes) {
  constexpr const char* kForms[] = {"[N, C, W] or [C, W]", "[N, C, H, W] or [C, H, W]",
                                    "[N, C, D, H, W] or [C, D, H, W]"};
  constexpr const char* kNames[] = {"channels and width", "channels, height and width",
                                    "channels, depth, height and width"};
  const auto dims = static_cast<size_t>(kind.dims);
  TORCH_CHECK(sizes.size() == dims + 1 || sizes.size() == dims + 2, "qnative::", kind.name,
              ": x must be ", kForms[dims - 1], ", got ", sizes);
  for (const Int& size : sizes.slice(sizes.size() - dims - 1)) {
    TORCH_CHECK(is_extent(size, 1), "qnative::", kind.name, ": ", kNames[dims - 1],
                " of x must be in [1, 2^31), got ", sizes);
  }
}

// y = (x + padding - extent) / stride + 1
template <class Int>
Int out_size(const ConvArgs& args, size_t axis, const Int& x) {
  const int64_t padding = args.padding_begin[axis] + args.padding_end[axis];
  const int64_t extent = args.extent(axis);
  TORCH_CHECK(x + padding >= extent, "qnative::", args.kind.name, ": the dilated kernel has ",
              kAxisNames[axis], " ", extent, ", but padded x only ", x + padding);
  const Int reach = x + padding - extent;
  // A division would show in the time of a small op.
  return (args.stride[axis] == 1 ? reach : reach / args.stride[axis]) + 1;
}

// The inverse: the x that a convolution of y would have, of those the smallest one and
// output_padding.
template <class Int>
Int transposed_size(const ConvArgs& args, size_t axis, const Int& x) {
  const int64_t padding = args.padding_begin[axis] + args.padding_end[axis];
  const Int y =
      (x - 1) * args.stride[axis] + args.extent(axis) + args.output_padding[axis] - padding;
  TORCH_CHECK(is_extent(y, 1), "qnative::", args.kind.name, ": y must have a ", kAxisNames[axis],
              " in [1, 2^31), got ", y);
  return y;
}

// {N, O, depth, height, width} of y; N = 1 for x without a batch.
template <class Int>
std::array<Int, 5> conv_sizes(at::ArrayRef<Int> x_sizes, const ConvArgs& args) {
  const ConvKind& kind = args.kind;
  check_input(kind, x_sizes);
  const auto dims = static_cast<size_t>(kind.dims);
  const at::ArrayRef<Int> image = x_sizes.slice(x_sizes.size() - dims - 1);
  const ConvWeight& weight = args.weight;
  TORCH_CHECK(image[0] == weight.group_channels * weight.groups, "qnative::", kind.name,
              ": x must have ", weight.group_channels * weight.groups,
              " channels to fit weight_shape and groups ", weight.groups, ", got ", x_sizes);
  std::array<Int, 5> sizes{x_sizes.size() == dims + 2 ? x_sizes[0] : Int(1),
                           Int(weight.out_channels), Int(1), Int(1), Int(1)};
  for (size_t i = 0; i < dims; ++i) {
    const size_t axis = first_axis(kind) + i;
    const Int& x = image[1 + i];
    sizes[2 + axis] = kind.transposed ? transposed_size(args, axis, x) : out_size(args, axis, x);
  }
  return sizes;
}

// Slices, rows or columns of padded x that the windows read; of transposed convolutions, those of
// the phase that reads most, which has every (stride / divisor)th tap.
double extent_read(const ConvArgs& args, size_t axis, int64_t y) {
  const int64_t stride = args.stride[axis], kernel = args.weight.kernel[axis];
  const auto dilation = static_cast<double>(args.dilation[axis]);
  if (!args.kind.transposed) {
    return static_cast<double>(y - 1) * static_cast<double>(stride) +
           static_cast<double>(kernel - 1) * dilation + 1;
  }
  const int64_t divisor = std::gcd(stride, args.dilation[axis]);
  const int64_t more_taps = (kernel - 1) / (stride / divisor), more_outputs = (y - 1) / stride;
  return static_cast<double>(more_outputs) +
         static_cast<double>(more_taps) * dilation / static_cast<double>(divisor) + 1;
}

// A limit to the memory of padded copies, far above what images have. Sizes that are symbols have
// none yet.
template <class Int>
void check_padded_size(const ConvPlan<Int>& plan) {
  const ConvWeight& weight = plan.args.weight;
  const auto channels = static_cast<double>(
      weight.is_depthwise() ? weight.out_channels : weight.group_channels * weight.groups);
  Spatial<double> read;
  for (size_t i = 0; i < 3; ++i) {
    const std::optional<int64_t> y = c10::SymInt(plan.y_sizes[2 + i]).maybe_as_int();
    if (!y) return;
    read[i] = extent_read(plan.args, i, *y);
  }
  const double rows = read[0] * read[1], row_bytes = read[2] * channels;
  TORCH_CHECK(row_bytes < 0x1p31 && rows * row_bytes < 0x1p47, "qnative::", plan.args.kind.name,
              ": padded x must have less than 2^31 bytes a row and 2^47 bytes an image, got ", rows,
              " rows of ", read[2], " pixels of ", channels, " channels");
}

}  // namespace

const char* weight_form(const ConvKind& kind) {
  constexpr const char* kForms[] = {"[O, C / groups, KW]", "[O, C / groups, KH, KW]",
                                    "[O, C / groups, KD, KH, KW]"};
  constexpr const char* kTransposed[] = {"[C, O / groups, KW]", "[C, O / groups, KH, KW]",
                                         "[C, O / groups, KD, KH, KW]"};
  return (kind.transposed ? kTransposed : kForms)[kind.dims - 1];
}

ConvWeight conv_weight(const char* op, const ConvKind& kind, at::IntArrayRef weight_shape,
                       int64_t groups) {
  check_weight_shape(op, weight_shape, kind.dims + 2, weight_form(kind));
  TORCH_CHECK(groups >= 1 && weight_shape[0] % groups == 0, "qnative::", op,
              ": groups must be positive and divide the ", kind.transposed ? "input" : "output",
              " channels ", weight_shape[0], ", got ", groups);
  ConvWeight weight{.transposed = kind.transposed,
                    .out_channels = weight_shape[0],
                    .group_channels = weight_shape[1],
                    .kernel = {1, 1, 1},
                    .groups = groups};
  if (kind.transposed) {
    TORCH_CHECK(weight_shape[1] <= std::numeric_limits<int32_t>::max() / groups, "qnative::", op,
                ": y must have less than 2^31 channels, got weight_shape ", weight_shape,
                " and groups ", groups);
    weight.out_channels = weight_shape[1] * groups;
    weight.group_channels = weight_shape[0] / groups;
  }
  for (size_t i = first_axis(kind), at = 2; i < 3; ++i) weight.kernel[i] = weight_shape[at++];
  double products = static_cast<double>(weight.group_channels);
  for (const int64_t taps : weight.kernel) products *= static_cast<double>(taps);
  check_products(op, weight_shape, products);
  return weight;
}

int64_t ConvWeight::merged_groups() const {
  constexpr int64_t kPanel = 16;
  if (groups == 1 || transposed || is_depthwise()) return 1;
  int64_t merged = std::clamp<int64_t>(kPanel * groups / out_channels, 1, groups);
  while (groups % merged != 0) --merged;
  return merged;
}

WeightLayout ConvWeight::layout() const {
  const int64_t rows = kernel[0] * kernel[1];
  if (is_depthwise()) return {1, out_channels, rows, kernel[2]};
  if (transposed) return {groups * taps(), out_channels / groups, 1, group_channels};
  const int64_t merged = merged_groups(), parts = groups / merged;
  return {parts, out_channels / parts, rows, kernel[2] * group_channels * merged};
}

WeightLayout ConvWeight::channels() const {
  WeightLayout channels = layout();
  if (transposed && !is_depthwise()) channels.groups = groups;
  return channels;
}

ConvArgs conv_args(const ConvKind& kind, at::IntArrayRef weight_shape,
                   const ConvGeometry& geometry) {
  ConvArgs args{.kind = kind,
                .weight = conv_weight(kind.name, kind, weight_shape, geometry.groups),
                .stride = expand(kind, "stride", geometry.stride, 1, 1),
                .dilation = expand(kind, "dilation", geometry.dilation, 1, 1),
                .padding_begin = {},
                .padding_end = {},
                .output_padding = {}};
  if (geometry.padding.is_same()) {
    set_same_padding(args, geometry.stride);
  } else {
    set_padding(args, geometry.padding.values());
  }
  set_output_padding(args, geometry);
  return args;
}

ConvPadding make_padding(const ConvKind& kind, std::string_view name) {
  TORCH_CHECK(name == "same" || name == "valid", "qnative::", kind.name,
              ": padding must be numbers, 'same' or 'valid', got '", name, "'");
  return name == "same" ? ConvPadding::same() : ConvPadding::valid();
}

namespace {

// x: of any dtype, checked otherwise.
template <class Int>
ConvPlan<Int> plan_shapes(const ConvKind& kind, const at::Tensor& x, const PackedWeight& w,
                          const ConvGeometry& geometry, const OutputSpec& y,
                          at::DeviceType device) {
  ConvPlan<Int> plan{.args = conv_args(kind, w.shape, geometry), .output = y, .y_sizes = {}};
  const ConvArgs& args = plan.args;
  plan.y_sizes = conv_sizes(at::symint::sizes<Int>(x), args);
  check_packed(kind.name, w.data, args.weight.layout(), device);
  check_channels(kind.name, w.scale, w.bias, Int(args.weight.out_channels), device);
  check_padded_size(plan);
  return plan;
}

}  // namespace

template <class Int>
ConvPlan<Int> plan_conv(const ConvKind& kind, const QTensor& x, const PackedWeight& w,
                        const ConvGeometry& geometry, const OutputSpec& y, at::DeviceType device) {
  check_qtensor(kind.name, "x", x, device);
  auto plan = plan_shapes<Int>(kind, x.data, w, geometry, y, device);
  const Words words = plan.args.weight.is_depthwise() ? Words::kRefused : Words::kAllowed;
  check_output(kind.name, y, FloatOutput::kAllowed, words);
  return plan;
}

template <class Int>
ConvPlan<Int> plan_conv(const ConvKind& kind, const at::Tensor& x, const PackedWeight& w,
                        const ConvGeometry& geometry, const Activation& activation,
                        at::DeviceType device) {
  check_tensor(kind.name, "x", x, device);
  check_dtype(kind.name, "x", x, at::kFloat);
  check_activation(kind.name, activation, Functions::kAllowed);
  auto plan = plan_shapes<Int>(kind, x, w, geometry,
                               {.dtype = at::kFloat, .activation = activation}, device);
  TORCH_CHECK(activation.function == FloatActivation::kNone || !plan.args.weight.is_depthwise(),
              "qnative::", kind.name,
              ": depthwise convolutions take bounds as activation, not other functions");
  return plan;
}

#define QNATIVE_INSTANTIATE(Int)                                                            \
  template ConvPlan<Int> plan_conv(const ConvKind&, const QTensor&, const PackedWeight&,    \
                                   const ConvGeometry&, const OutputSpec&, at::DeviceType); \
  template ConvPlan<Int> plan_conv(const ConvKind&, const at::Tensor&, const PackedWeight&, \
                                   const ConvGeometry&, const Activation&, at::DeviceType);
QNATIVE_INSTANTIATE(int64_t)
QNATIVE_INSTANTIATE(c10::SymInt)
#undef QNATIVE_INSTANTIATE

}  // namespace qnative::ops
