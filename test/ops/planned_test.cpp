#include "qnative/planned.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <thread>

#include "qnative/ops.h"

namespace qnative {
namespace {

using c10::IValue;
using Constants = std::vector<IValue>;

const QParams kX{0.05, 20}, kY{0.1, 3};

at::Tensor eight_bits(at::IntArrayRef sizes, at::ScalarType dtype) {
  return dtype == at::kByte ? at::randint(0, 256, sizes, dtype)
                            : at::randint(-128, 128, sizes, dtype);
}

PackedWeight weight_of(const at::Tensor& packed, at::IntArrayRef shape) {
  return {packed, at::rand({shape[0]}) / 50 + 0.001, at::randn({shape[0]}), shape};
}

Constants constants_of(const PackedWeight& w, const Constants& geometry) {
  Constants constants{kX.scale, kX.zero_point,
                      w.data,   w.scale,
                      w.bias,   std::vector<int64_t>(w.shape.begin(), w.shape.end())};
  constants.insert(constants.end(), geometry.begin(), geometry.end());
  for (const IValue& value : Constants{kY.scale, kY.zero_point, static_cast<int64_t>(at::kByte),
                                       "relu", std::vector<double>()}) {
    constants.push_back(value);
  }
  return constants;
}

const OutputSpec kOutput{.qparams = kY, .activation = Activation::relu()};

template <class Op>
void expect_equal(const PlannedOp& planned, const Op& op, const std::vector<at::DimVector>& sizes) {
  for (int round = 0; round < 2; ++round) {
    for (const at::ScalarType dtype : {at::kByte, at::kChar}) {
      for (const at::DimVector& each : sizes) {
        const at::Tensor x = eight_bits(each, dtype);
        const at::Tensor expected = op(QTensor{x, kX}).data, y = planned.run(x);
        EXPECT_TRUE(at::equal(y, expected)) << each;
        EXPECT_EQ(y.strides(), expected.strides()) << each;
      }
    }
  }
}

TEST(PlanOp, LinearOfMoreSizesThanItKeeps) {
  const PackedWeight w = weight_of(ops::linear_pack(eight_bits({5, 7}, at::kChar)), {5, 7});
  const auto planned = plan_op("qnative::linear", constants_of(w, {}));
  std::vector<at::DimVector> sizes = {{7}, {2, 3, 7}, {0, 7}};
  for (int64_t n = 1; n < 12; ++n) sizes.push_back({n, 7});
  expect_equal(*planned, [&](const QTensor& x) { return ops::linear(x, w, kOutput); }, sizes);
  // Views are read as they lie.
  const at::Tensor x = eight_bits({7, 4}, at::kByte).t();
  EXPECT_TRUE(at::equal(planned->run(x), ops::linear({x, kX}, w, kOutput).data));
}

TEST(PlanOp, Convolutions) {
  for (const int64_t groups : {1, 2, 8}) {
    const at::Tensor weight = eight_bits({8, 8 / groups, 3, 3}, at::kChar);
    const PackedWeight w = weight_of(ops::conv2d_pack(weight, groups), weight.sizes());
    using Ints = std::vector<int64_t>;
    const auto planned = plan_op(
        "qnative::conv2d", constants_of(w, {Ints{2, 1}, Ints{1, 0, 1, 2}, Ints{1, 2}, groups}));
    const auto same =
        plan_op("qnative::conv2d.padding", constants_of(w, {Ints{1}, "same", Ints{2}, groups}));
    const ConvGeometry geometry{
        .stride = {2, 1}, .padding = {1, 0, 1, 2}, .dilation = {1, 2}, .groups = groups};
    const ConvGeometry same_geometry{
        .padding = ConvPadding::same(), .dilation = 2, .groups = groups};
    const std::vector<at::DimVector> sizes = {{1, 8, 5, 6}, {2, 8, 9, 7}, {8, 5, 6}, {0, 8, 5, 6}};
    expect_equal(
        *planned, [&](const QTensor& x) { return ops::conv2d(x, w, geometry, kOutput); }, sizes);
    expect_equal(
        *same, [&](const QTensor& x) { return ops::conv2d(x, w, same_geometry, kOutput); }, sizes);
  }
}

TEST(PlanOp, FromThreadsAtOnce) {
  const PackedWeight w = weight_of(ops::linear_pack(eight_bits({33, 17}, at::kChar)), {33, 17});
  for (int round = 0; round < 20; ++round) {
    const auto planned = plan_op("qnative::linear", constants_of(w, {}));
    std::vector<std::thread> threads;
    for (int64_t i = 0; i < 8; ++i) {
      threads.emplace_back([&, i] {
        const at::Tensor x = eight_bits({1 + i / 2, 17}, i % 2 == 0 ? at::kByte : at::kChar);
        EXPECT_TRUE(at::equal(planned->run(x), ops::linear({x, kX}, w, kOutput).data));
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
}

// As the op, also where a plan of the same sizes is kept.
TEST(PlanOp, ErrorsOfX) {
  const PackedWeight w = weight_of(ops::linear_pack(eight_bits({5, 7}, at::kChar)), {5, 7});
  const auto planned = plan_op("qnative::linear", constants_of(w, {}));
  planned->run(eight_bits({2, 7}, at::kByte));
  for (const at::Tensor& x : {at::ones({2, 7}), eight_bits({2, 6}, at::kByte), at::Tensor(),
                              at::ones({2, 7}, at::kByte).to_sparse(),
                              at::empty({2, 7}, at::TensorOptions(at::kMeta).dtype(at::kByte))}) {
    std::string expected, error;
    try {
      ops::linear({x, kX}, w, kOutput);
    } catch (const c10::Error& e) {
      expected = e.what_without_backtrace();
    }
    try {
      planned->run(x);
    } catch (const c10::Error& e) {
      error = e.what_without_backtrace();
    }
    EXPECT_NE(error, "");
    EXPECT_EQ(error, expected);
  }
}

TEST(PlanOp, WrongConstants) {
  const PackedWeight w = weight_of(ops::linear_pack(eight_bits({5, 7}, at::kChar)), {5, 7});
  Constants constants = constants_of(w, {});
  EXPECT_EQ(plan_op("qnative::softmax", constants), nullptr);
  EXPECT_THROW(plan_op("qnative::linear", {}), c10::Error);
  for (size_t i = 0; i < constants.size(); ++i) {
    if (i == 4) continue;  // the bias may be None
    Constants wrong = constants;
    wrong[i] = IValue();
    EXPECT_THROW(plan_op("qnative::linear", wrong), c10::Error) << i;
  }
  constants[9] = "swish";
  EXPECT_THROW(plan_op("qnative::linear", constants), c10::Error);
}

}  // namespace
}  // namespace qnative
