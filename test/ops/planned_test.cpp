#include "qnative/planned.h"

#include <ATen/ATen.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <gtest/gtest.h>

#include <functional>
#include <thread>

#include "qnative/info.h"
#include "qnative/ops.h"

namespace qnative {
namespace {

using c10::IValue;
using Arguments = std::vector<IValue>;
using Tensors = std::vector<at::Tensor>;
using Ints = std::vector<int64_t>;

constexpr double kScale = 0.05;
constexpr int64_t kByte = static_cast<int64_t>(at::kByte),
                  kFloat = static_cast<int64_t>(at::kFloat);
const at::Tensor kOpen;

at::Tensor eight_bits(at::IntArrayRef sizes, at::ScalarType dtype = at::kByte) {
  return dtype == at::kByte ? at::randint(0, 256, sizes, dtype)
                            : at::randint(-128, 128, sizes, dtype);
}

at::Tensor words(at::IntArrayRef sizes) { return at::randint(-32768, 32768, sizes, at::kShort); }

Arguments join(std::initializer_list<Arguments> parts) {
  Arguments all;
  for (const Arguments& part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}

// x, x_scale, x_zero_point
const Arguments kX = {kOpen, kScale, int64_t{20}};
// y_scale, y_zero_point, y_dtype
const Arguments kY = {0.1, int64_t{3}, kByte};
// The same for int16.
const Arguments kWordX = {kOpen, 0.001, int64_t{0}};
const Arguments kWordY = {0.002, int64_t{0}, static_cast<int64_t>(at::kShort)};
const Arguments kRelu = {"relu", std::vector<double>()};

// weight, weight_scale, bias, weight_shape
Arguments weight_of(const at::Tensor& packed, Ints shape, int64_t channels) {
  return {packed, at::rand({channels}) / 50 + 0.001, at::randn({channels}), std::move(shape)};
}
Arguments linear_weight(int64_t n, int64_t k) {
  return weight_of(ops::linear_pack(eight_bits({n, k}, at::kChar)), {n, k}, n);
}

struct Case {
  std::string name;
  Arguments arguments;
  std::vector<Tensors> inputs;
};

// The function of the op for CPU, whatever the tensors are.
at::Tensor eager(const Case& each, const Tensors& inputs) {
  const std::string full = "qnative::" + each.name;
  const size_t dot = full.find('.');
  const std::string overload = dot == std::string::npos ? "" : full.substr(dot + 1);
  const auto op =
      c10::Dispatcher::singleton().findSchemaOrThrow(full.substr(0, dot).c_str(), overload.c_str());
  torch::jit::Stack stack;
  auto next = inputs.begin();
  for (const IValue& argument : each.arguments) {
    const bool is_list = argument.isTensorList();
    if (is_list) {
      Tensors tensors = argument.toTensorVector();
      for (at::Tensor& tensor : tensors) tensor = tensor.defined() ? tensor : *next++;
      stack.emplace_back(tensors);
    } else {
      const bool is_open = argument.isTensor() && !argument.toTensor().defined();
      stack.push_back(is_open ? IValue(*next++) : argument);
    }
  }
  op.redispatchBoxed(c10::DispatchKeySet(c10::DispatchKey::CPU), &stack);
  return stack.back().toTensor();
}

at::Tensor run(const PlannedOp& planned, const Tensors& inputs) {
  std::vector<const at::Tensor*> pointers;
  for (const at::Tensor& input : inputs) pointers.push_back(&input);
  return planned.run(pointers);
}

std::unique_ptr<PlannedOp> plan(const Case& each) {
  return plan_op("qnative::" + each.name, each.arguments);
}

std::string error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const c10::Error& error) {
    return error.what_without_backtrace();
  }
  return "";
}

Tensors bytes_of(std::initializer_list<at::DimVector> sizes) {
  Tensors tensors;
  for (const at::DimVector& each : sizes) tensors.push_back(eight_bits(each));
  return tensors;
}

// One input of each of these sizes, as uint8 and int8.
std::vector<Tensors> images(std::initializer_list<at::DimVector> sizes) {
  std::vector<Tensors> inputs;
  for (const at::ScalarType dtype : {at::kByte, at::kChar}) {
    for (const at::DimVector& each : sizes) {
      inputs.push_back({eight_bits(each, dtype)});
      if (each.size() == 4) {
        inputs.push_back({inputs.back()[0].contiguous(at::MemoryFormat::ChannelsLast)});
      }
      if (each.size() > 1)
        inputs.push_back({eight_bits(each, dtype).transpose(0, 1).contiguous().transpose(0, 1)});
    }
  }
  return inputs;
}

std::vector<Tensors> pairs() {
  std::vector<Tensors> inputs = {bytes_of({{4, 5}, {4, 5}}),
                                 bytes_of({{4, 1}, {1, 5}}),
                                 bytes_of({{2, 3, 4, 5}, {3, 1, 1}}),
                                 bytes_of({{5}, {2, 3, 4, 5}}),
                                 bytes_of({{}, {7}}),
                                 bytes_of({{0, 3}, {1, 3}}),
                                 bytes_of({{3, 1, 5}, {1, 4, 1}}),
                                 bytes_of({{70, 1100}, {70, 1}})};
  const auto nhwc = [](const at::Tensor& x) {
    return x.contiguous(at::MemoryFormat::ChannelsLast);
  };
  inputs.push_back({nhwc(eight_bits({2, 5, 4, 3})), eight_bits({2, 5, 1, 1})});
  inputs.push_back({nhwc(eight_bits({2, 5, 4, 3})), eight_bits({2, 5, 4, 3})});
  inputs.push_back({eight_bits({8, 6}).slice(1, 0, 6, 2), eight_bits({3, 8}).t()});
  inputs.push_back({eight_bits({1, 6}).expand({4, 6}), eight_bits({4, 6}, at::kChar)});
  return inputs;
}

std::vector<Tensors> heads(at::ScalarType dtype) {
  const auto make = [&](at::IntArrayRef sizes) {
    return dtype == at::kFloat ? at::randn(sizes) : eight_bits(sizes, dtype);
  };
  std::vector<Tensors> inputs;
  for (const int64_t length : {1, 5, 40, 5}) {
    inputs.push_back({make({2, 3, length, 8}), make({2, 3, 7, 8}), make({2, 3, 7, 4})});
    inputs.push_back({make({2, length, 3, 8}).transpose(1, 2), make({2, 7, 3, 8}).transpose(1, 2),
                      make({2, 7, 3, 8}).transpose(1, 2)});
  }
  return inputs;
}

std::vector<Case> cases() {
  const Arguments attention = {false, IValue(), false};
  const Arguments pool = {Ints{3, 2}, Ints{2}, Ints{1}};
  const at::Tensor table = ops::embedding_8bit_pack(at::randn({9, 6}));
  std::vector<Tensors> with_mask = heads(at::kFloat);
  for (Tensors& each : with_mask) each.push_back(at::randn({each[0].size(-2), 7}));
  std::vector<Case> all = {
      {"quantize_per_tensor",
       join({kX, {kByte, IValue(), IValue()}}),
       {{at::randn({3, 4})},
        {at::randn({3, 4}).to(at::kDouble)},
        {at::randn({4, 3}).t()},
        {at::randn({0})}}},
      {"dequantize_per_tensor", kX, images({{3, 4}, {2, 3, 4, 5}, {}})},
      {"requantize", join({kX, kWordY}), images({{3, 4}, {2, 3, 4, 5}, {0}})},
      {"requantize", join({kWordX, kY}), {{words({3, 4})}, {words({4, 3}).t()}}},
      {"linear", join({kX, linear_weight(5, 7), kWordY, kRelu}), images({{7}, {4, 7}})},
      {"linear", join({kX, linear_weight(5, 7), kY, kRelu}),
       images({{7}, {2, 3, 7}, {0, 7}, {1, 7}, {2, 7}, {3, 7}, {4, 7}, {5, 7}, {6, 7}, {8, 7}})},
      {"linear_dynamic",
       join({{kOpen}, linear_weight(5, 7), {"gelu", std::vector<double>(), IValue()}}),
       {{at::randn({7})}, {at::randn({4, 7})}, {at::randn({7, 4}).t()}, {at::randn({0, 7})}}},
      {"matmul",
       join({kX, kX, kY, kRelu}),
       {bytes_of({{4, 5}, {5, 3}}),
        bytes_of({{2, 4, 5}, {5, 3}}),
        bytes_of({{4, 0}, {0, 3}}),
        {eight_bits({5, 4}).t(), eight_bits({5, 3}, at::kChar)}}},
      {"attention", join({kX, kX, kX, kY, {IValue()}, attention}), heads(at::kByte)},
      {"attention_dynamic", join({{kOpen, kOpen, kOpen, IValue()}, attention}), heads(at::kFloat)},
      {"attention_dynamic", join({{kOpen, kOpen, kOpen, kOpen}, attention}), with_mask},
      {"add", join({kX, kX, kY, kRelu, {0.7}}), pairs()},
      {"add", join({kX, {eight_bits({5}), 0.2, int64_t{9}}, kY, kRelu, {1.0}}),
       images({{3, 5}, {5}})},
      {"add",
       join({kWordX, {words({5}), 0.2, int64_t{0}}, kWordY, kRelu, {1.0}}),
       {{words({3, 5})}, {words({5, 5}).t()}}},
      {"mul", join({kX, kX, kY, kRelu}), pairs()},
      {"cat",
       join({{Tensors{kOpen, kOpen}, std::vector<double>{kScale, 0.1}, Ints{20, 3}, int64_t{1}},
             kY}),
       {bytes_of({{2, 3}, {2, 4}}),
        bytes_of({{0}, {2, 4}}),
        {eight_bits({2, 3, 4, 5}).contiguous(at::MemoryFormat::ChannelsLast),
         eight_bits({2, 1, 4, 5}).contiguous(at::MemoryFormat::ChannelsLast)}}},
      {"lookup", {kOpen, eight_bits({256}, at::kChar)}, images({{3, 4}, {2, 3, 4, 5}, {0}})},
      {"max_pool2d", join({{kOpen}, pool, {Ints{1}, true}}),
       images({{2, 3, 6, 7}, {3, 6, 7}, {0, 3, 6, 7}})},
      {"avg_pool2d", join({kX, pool, {true, false, IValue()}, kY}),
       images({{2, 3, 6, 7}, {3, 6, 7}, {0, 3, 6, 7}})},
      {"avg_pool1d", join({kX, {Ints{3}, Ints{}, Ints{1}, true, false}, kY}),
       images({{2, 3, 6}, {3, 7}})},
      {"adaptive_avg_pool2d", join({kX, {Ints{2, 3}}, kY}),
       images({{2, 3, 6, 7}, {3, 6, 7}, {0, 3, 6, 7}})},
      {"mean", join({kX, {Ints{-1, -2}, true}, kY}),
       images({{2, 3, 6, 7}, {3, 6}, {0, 3, 6}, {3, 6, 0}})},
      {"interpolate", join({kX, {Ints{9, 5}, IValue(), "bilinear", false}, kY}),
       images({{2, 3, 6, 7}, {0, 3, 6, 7}})},
      {"interpolate",
       join({kX, {IValue(), std::vector<double>{2.0, 1.5}, "nearest", IValue()}, kY}),
       images({{2, 3, 6, 7}})},
      {"layer_norm", join({kX, {Ints{4, 5}, at::randn({4, 5}), IValue(), 1e-5}, kY}),
       images({{2, 3, 4, 5}, {4, 5}, {0, 4, 5}})},
      {"layer_norm",
       join({kWordX, {Ints{5}, IValue(), IValue(), 1e-5}, kWordY}),
       {{words({2, 5})}, {words({5, 3}).t()}}},
      {"rms_norm", join({kX, {Ints{5}, at::randn({5}), IValue()}, kY}), images({{2, 5}, {0, 5}})},
      {"rms_norm", join({kWordX, {Ints{5}, IValue(), 1e-6}, kY}), {{words({2, 5})}}},
      {"softmax", join({kX, {int64_t{-1}}, kY}), images({{2, 3, 4, 5}, {6}, {0, 4}})},
      {"softmax", join({kX, {int64_t{1}, 1.0, int64_t{0}, kFloat}}),
       images({{2, 3, 4, 5}, {6, 3}})},
      {"embedding_8bit",
       {table, kOpen},
       {{at::randint(0, 9, {2, 3}, at::kLong)},
        {at::randint(0, 9, {4}, at::kInt)},
        {at::empty({0}, at::kLong)}}}};
  for (const int64_t groups : {1, 2, 8}) {
    const Arguments w =
        weight_of(ops::conv2d_pack(eight_bits({8, 8 / groups, 3, 3}, at::kChar), groups),
                  {8, 8 / groups, 3, 3}, 8);
    const auto inputs = images({{1, 8, 5, 6}, {2, 8, 9, 7}, {8, 5, 6}, {0, 8, 5, 6}});
    all.push_back({"conv2d",
                   join({kX, w, {Ints{2, 1}, Ints{1, 0, 1, 2}, Ints{1, 2}, groups}, kY, kRelu}),
                   inputs});
    all.push_back(
        {"conv2d.padding", join({kX, w, {Ints{1}, "same", Ints{2}, groups}, kY, kRelu}), inputs});
  }
  const Arguments w =
      weight_of(ops::conv1d_pack(eight_bits({4, 3, 3}, at::kChar), 1), {4, 3, 3}, 4);
  all.push_back({"conv1d", join({kX, w, {Ints{1}, Ints{1}, Ints{1}, int64_t{1}}, kY, kRelu}),
                 images({{2, 3, 9}, {3, 9}})});
  return all;
}

// Bits and strides of the op, at the first call and at those that find a plan.
TEST(PlanOp, IsTheOp) {
  at::manual_seed(0);
  for (const Case& each : cases()) {
    const auto planned = plan(each);
    ASSERT_NE(planned, nullptr) << each.name;
    for (int round = 0; round < 2; ++round) {
      for (const Tensors& inputs : each.inputs) {
        const at::Tensor expected = eager(each, inputs), y = run(*planned, inputs);
        EXPECT_TRUE(at::equal(y, expected)) << each.name << inputs[0].sizes();
        EXPECT_EQ(y.strides(), expected.strides()) << each.name << inputs[0].sizes();
        EXPECT_EQ(y.scalar_type(), expected.scalar_type()) << each.name;
      }
    }
  }
}

// As the op, also where a plan of the same sizes is kept.
TEST(PlanOp, ErrorsOfInputs) {
  for (const Case& each : cases()) {
    const auto planned = plan(each);
    const Tensors& right = each.inputs[0];
    run(*planned, right);
    for (size_t i = 0; i < right.size(); ++i) {
      const at::Tensor& x = right[i];
      for (const at::Tensor& wrong : {x.to(at::kComplexFloat), at::Tensor(), x.to_sparse(),
                                      at::empty(x.sizes(), x.options().device(at::kMeta))}) {
        Tensors inputs = right;
        inputs[i] = wrong;
        const std::string error = error_of([&] { run(*planned, inputs); });
        EXPECT_NE(error, "") << each.name << i;
        EXPECT_EQ(error, error_of([&] { eager(each, inputs); })) << each.name << i;
      }
    }
    EXPECT_THROW(planned->run({}), c10::Error) << each.name;
  }
}

TEST(PlanOp, SaysItsWork) {
  const std::string kernels = qnative_kernels();
  for (const Case& each : cases()) {
    const auto planned = plan(each);
    for (const Tensors& inputs : each.inputs) {
      std::vector<const at::Tensor*> pointers;
      for (const at::Tensor& input : inputs) pointers.push_back(&input);
      const auto [kernel, operations] = planned->work(pointers);
      const std::string line = std::string(kernel) + " ";
      EXPECT_TRUE(*kernel == '\0' || kernels.find(line) != std::string::npos) << each.name << line;
      if (each.name == "linear") {
        EXPECT_EQ(operations, 2.0 * 5 * inputs[0].numel());
      }
      if (each.name == "lookup") {
        EXPECT_EQ(operations, 0);
      }
    }
  }
}

TEST(PlanOp, FromThreadsAtOnce) {
  const Case linear{"linear", join({kX, linear_weight(33, 17), kY, kRelu}), {}};
  for (int round = 0; round < 20; ++round) {
    const auto planned = plan(linear);
    std::vector<std::thread> threads;
    for (int64_t i = 0; i < 8; ++i) {
      threads.emplace_back([&, i] {
        const Tensors x = {eight_bits({1 + i / 2, 17}, i % 2 == 0 ? at::kByte : at::kChar)};
        EXPECT_TRUE(at::equal(run(*planned, x), eager(linear, x)));
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
}

TEST(PlanOp, WrongArguments) {
  const Arguments arguments = join({kX, linear_weight(5, 7), kY, kRelu});
  EXPECT_EQ(plan_op("qnative::linear_pack", arguments), nullptr);
  EXPECT_THROW(plan_op("qnative::linear", {}), c10::Error);
  for (size_t i = 0; i < arguments.size(); ++i) {
    if (i == 5) continue;  // the bias may be None
    Arguments wrong = arguments;
    wrong[i] = IValue();
    EXPECT_THROW(plan_op("qnative::linear", wrong), c10::Error) << i;
  }
  Arguments unknown = arguments, open = arguments;
  unknown[10] = "swish";
  EXPECT_THROW(plan_op("qnative::linear", unknown), c10::Error);
  open[3] = kOpen;
  EXPECT_EQ(plan_op("qnative::linear", open), nullptr);
}

}  // namespace
}  // namespace qnative
