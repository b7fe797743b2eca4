#include <torch/library.h>

// Every op of qnative, by family: the table of contents. CPU and Meta implementations are
// registered at the end of the file of the family. include/qnative/ops.h has one documented C++
// function for each.
//
// x_scale, x_zero_point: real value = (x - x_zero_point) * x_scale. x is uint8 or int8. y_dtype:
// uint8 or int8, and float32 where the op says so (y_scale and y_zero_point are then ignored).
// Zero point 0 and int16 are allowed too: for x and y of quantize_per_tensor,
// dequantize_per_tensor, requantize, add, mul, cat, layer_norm and rms_norm, and for y of linear
// and of convolutions that are not depthwise.
// activation: "none", "relu", "relu6", "clamp" (activation_args = [min, max]); hardtanh is "clamp".
TORCH_LIBRARY(qnative, m) {
  m.set_python_module("qnative");
  const std::vector<at::Tag> tags = {at::Tag::pt2_compliant_tag};

  // quantize
  m.def(
      "quantize_per_tensor(Tensor x, float scale, int zero_point, ScalarType dtype, *, int? "
      "quant_min=None, int? quant_max=None) -> Tensor",
      tags);
  m.def("dequantize_per_tensor(Tensor x, float scale, int zero_point) -> Tensor", tags);
  m.def(
      "requantize(Tensor x, float x_scale, int x_zero_point, float y_scale, int y_zero_point, "
      "ScalarType y_dtype) -> Tensor",
      tags);
  m.def(
      "quantize_per_channel(Tensor x, Tensor scale, Tensor zero_point, int axis, ScalarType dtype, "
      "*, int? quant_min=None, int? quant_max=None) -> Tensor",
      tags);
  m.def("dequantize_per_channel(Tensor x, Tensor scale, Tensor? zero_point, int axis) -> Tensor",
        tags);
  m.def(
      "choose_qparams(Tensor x, ScalarType dtype, *, int? quant_min=None, int? quant_max=None, "
      "float eps=1.1920928955078125e-07, bool symmetric=False) -> (Tensor scale, Tensor "
      "zero_point)",
      tags);

  // linear
  m.def(
      "linear(Tensor x, float x_scale, int x_zero_point, Tensor weight, Tensor weight_scale, "
      "Tensor? bias, SymInt[] weight_shape, float y_scale, int y_zero_point, ScalarType y_dtype, "
      "str activation=\"none\", float[] activation_args=[]) -> Tensor",
      tags);
  m.def("linear_pack(Tensor weight) -> Tensor", tags);
  m.def("linear_unpack(Tensor weight, SymInt[] weight_shape) -> Tensor", tags);

  // linear from float to float: activation may also be "gelu", "gelu_tanh", "silu", "sigmoid",
  // "tanh", "hardswish" or "hardsigmoid"
  m.def(
      "linear_dynamic(Tensor x, Tensor weight, Tensor weight_scale, Tensor? bias, SymInt[] "
      "weight_shape, str activation=\"none\", float[] activation_args=[], int[]? repeated=None) -> "
      "Tensor",
      tags);
  m.def(
      "linear_dynamic_pack(Tensor weight, bool may_repeat=True) -> (Tensor weight, Tensor "
      "weight_scale, int[] repeated)",
      {at::Tag::pt2_compliant_tag, at::Tag::dynamic_output_shape, at::Tag::data_dependent_output});
  m.def(
      "linear_dynamic_fp16(Tensor x, Tensor weight, Tensor? bias, SymInt[] weight_shape, str "
      "activation=\"none\", float[] activation_args=[]) -> Tensor",
      tags);
  m.def(
      "linear_fp16(Tensor x, Tensor weight, Tensor? bias, SymInt[] weight_shape, str "
      "activation=\"none\", float[] activation_args=[]) -> Tensor",
      tags);
  m.def("linear_fp16_pack(Tensor weight) -> Tensor", tags);
  m.def("linear_fp16_unpack(Tensor weight, SymInt[] weight_shape) -> Tensor", tags);
  m.def(
      "linear_4bit(Tensor x, Tensor weight, Tensor? bias, SymInt[] weight_shape, SymInt "
      "group_size, str activation=\"none\", float[] activation_args=[]) -> Tensor",
      tags);
  m.def("linear_4bit_pack(Tensor weight, SymInt group_size) -> Tensor", tags);
  m.def("linear_4bit_pack.codes(Tensor codes, Tensor scale, SymInt group_size) -> Tensor", tags);
  m.def(
      "linear_4bit_unpack(Tensor weight, SymInt[] weight_shape, SymInt group_size) -> (Tensor "
      "codes, Tensor scale)",
      tags);

  // matmul
  m.def(
      "matmul(Tensor a, float a_scale, int a_zero_point, Tensor b, float b_scale, int "
      "b_zero_point, float y_scale, int y_zero_point, ScalarType y_dtype, str "
      "activation=\"none\", float[] activation_args=[]) -> Tensor",
      tags);

  // attention: scaled_dot_product_attention; attention_dynamic from float32 to float32
  m.def(
      "attention(Tensor q, float q_scale, int q_zero_point, Tensor k, float k_scale, int "
      "k_zero_point, Tensor v, float v_scale, int v_zero_point, float y_scale, int y_zero_point, "
      "ScalarType y_dtype, Tensor? attn_mask=None, bool is_causal=False, *, float? scale=None, "
      "bool enable_gqa=False) -> Tensor",
      tags);
  m.def(
      "attention_dynamic(Tensor q, Tensor k, Tensor v, Tensor? attn_mask=None, bool "
      "is_causal=False, *, float? scale=None, bool enable_gqa=False) -> Tensor",
      tags);

  // conv: stride, padding, output_padding and dilation have one value or one for each dimension,
  // padding of conv<d>d also two; <op>_dynamic from float to float, with the activations of
  // linear_dynamic
  const auto def = [&](const std::string& schema) { m.def(schema.c_str(), tags); };
  const std::string operands =
      "(Tensor x, float x_scale, int x_zero_point, Tensor weight, Tensor weight_scale, Tensor? "
      "bias, SymInt[] weight_shape, SymInt[] stride, ";
  const std::string rest =
      "SymInt[] dilation, SymInt groups, float y_scale, int y_zero_point, ScalarType y_dtype, str "
      "activation=\"none\", float[] activation_args=[]) -> Tensor";
  const std::string real_operands =
      "(Tensor x, Tensor weight, Tensor weight_scale, Tensor? bias, SymInt[] weight_shape, "
      "SymInt[] stride, ";
  const std::string real_rest =
      "SymInt[] dilation, SymInt groups, str activation=\"none\", float[] activation_args=[]) -> "
      "Tensor";
  for (const char* dims : {"1d", "2d", "3d"}) {
    const std::string conv = std::string("conv") + dims;
    const std::string transposed = std::string("conv_transpose") + dims;
    def(conv + operands + "SymInt[] padding, " + rest);
    def(conv + ".padding" + operands + "str padding, " + rest);
    def(transposed + operands + "SymInt[] padding, SymInt[] output_padding, " + rest);
    def(conv + "_dynamic" + real_operands + "SymInt[] padding, " + real_rest);
    def(conv + "_dynamic.padding" + real_operands + "str padding, " + real_rest);
    def(transposed + "_dynamic" + real_operands + "SymInt[] padding, SymInt[] output_padding, " +
        real_rest);
    for (const std::string& op : {conv, transposed}) {
      def(op +
          "_dynamic_pack(Tensor weight, SymInt groups) -> (Tensor weight, Tensor "
          "weight_scale)");
      def(op + "_pack(Tensor weight, SymInt groups) -> Tensor");
      def(op + "_unpack(Tensor weight, SymInt[] weight_shape, SymInt groups) -> Tensor");
    }
  }

  // binary
  m.def(
      "add(Tensor a, float a_scale, int a_zero_point, Tensor b, float b_scale, int b_zero_point, "
      "float y_scale, int y_zero_point, ScalarType y_dtype, str activation=\"none\", float[] "
      "activation_args=[], *, float alpha=1.0) -> Tensor",
      tags);
  m.def(
      "mul(Tensor a, float a_scale, int a_zero_point, Tensor b, float b_scale, int b_zero_point, "
      "float y_scale, int y_zero_point, ScalarType y_dtype, str activation=\"none\", float[] "
      "activation_args=[]) -> Tensor",
      tags);
  m.def(
      "cat(Tensor[] tensors, float[] scales, int[] zero_points, int dim, float y_scale, int "
      "y_zero_point, ScalarType y_dtype) -> Tensor",
      tags);

  // unary: y = table[x - min of x's dtype], any function of one 8-bit value
  m.def("lookup(Tensor x, Tensor table) -> Tensor", tags);

  // pool
  m.def(
      "max_pool1d(Tensor x, SymInt[] kernel_size, SymInt[] stride=[], SymInt[] padding=[0], "
      "SymInt[] dilation=[1], bool ceil_mode=False) -> Tensor",
      tags);
  m.def(
      "max_pool2d(Tensor x, SymInt[] kernel_size, SymInt[] stride=[], SymInt[] padding=[0], "
      "SymInt[] dilation=[1], bool ceil_mode=False) -> Tensor",
      tags);
  m.def(
      "max_pool3d(Tensor x, SymInt[] kernel_size, SymInt[] stride=[], SymInt[] padding=[0], "
      "SymInt[] dilation=[1], bool ceil_mode=False) -> Tensor",
      tags);
  m.def(
      "avg_pool1d(Tensor x, float x_scale, int x_zero_point, SymInt[] kernel_size, SymInt[] "
      "stride, SymInt[] padding, bool ceil_mode, bool count_include_pad, "
      "float y_scale, int y_zero_point, ScalarType y_dtype) -> Tensor",
      tags);
  m.def(
      "avg_pool2d(Tensor x, float x_scale, int x_zero_point, SymInt[] kernel_size, SymInt[] "
      "stride, SymInt[] padding, bool ceil_mode, bool count_include_pad, int? divisor_override, "
      "float y_scale, int y_zero_point, ScalarType y_dtype) -> Tensor",
      tags);
  m.def(
      "avg_pool3d(Tensor x, float x_scale, int x_zero_point, SymInt[] kernel_size, SymInt[] "
      "stride, SymInt[] padding, bool ceil_mode, bool count_include_pad, int? divisor_override, "
      "float y_scale, int y_zero_point, ScalarType y_dtype) -> Tensor",
      tags);
  m.def(
      "adaptive_avg_pool1d(Tensor x, float x_scale, int x_zero_point, SymInt[] output_size, float "
      "y_scale, int y_zero_point, ScalarType y_dtype) -> Tensor",
      tags);
  m.def(
      "adaptive_avg_pool2d(Tensor x, float x_scale, int x_zero_point, SymInt[] output_size, float "
      "y_scale, int y_zero_point, ScalarType y_dtype) -> Tensor",
      tags);
  m.def(
      "adaptive_avg_pool3d(Tensor x, float x_scale, int x_zero_point, SymInt[] output_size, float "
      "y_scale, int y_zero_point, ScalarType y_dtype) -> Tensor",
      tags);
  m.def(
      "interpolate(Tensor x, float x_scale, int x_zero_point, SymInt[]? size, float[]? "
      "scale_factors, str mode, bool? align_corners, float y_scale, int y_zero_point, ScalarType "
      "y_dtype) -> Tensor",
      tags);
  m.def(
      "mean(Tensor x, float x_scale, int x_zero_point, int[]? dim, bool keepdim, float y_scale, "
      "int y_zero_point, ScalarType y_dtype) -> Tensor",
      tags);

  // float16 to float16, besides linear_fp16 and max_pool; function: "affine" [a, b],
  // "floor_divide" [a], or an activation of linear_fp16
  m.def(
      "add_fp16(Tensor a, Tensor b, str activation=\"none\", float[] activation_args=[], *, float "
      "alpha=1.0) -> Tensor",
      tags);
  m.def(
      "mul_fp16(Tensor a, Tensor b, str activation=\"none\", float[] activation_args=[]) -> "
      "Tensor",
      tags);
  m.def("pointwise_fp16(Tensor x, str function, float[] function_args=[]) -> Tensor", tags);
  m.def(
      "matmul_fp16(Tensor a, Tensor b, str activation=\"none\", float[] activation_args=[]) -> "
      "Tensor",
      tags);
  m.def("softmax_fp16(Tensor x, int dim) -> Tensor", tags);
  for (const std::string dims : {"1d", "2d", "3d"}) {
    const std::string divisor = dims == "1d" ? "" : ", int? divisor_override";
    def("avg_pool" + dims +
        "_fp16(Tensor x, SymInt[] kernel_size, SymInt[] stride, SymInt[] padding, bool ceil_mode, "
        "bool count_include_pad" +
        divisor + ") -> Tensor");
    def("adaptive_avg_pool" + dims + "_fp16(Tensor x, SymInt[] output_size) -> Tensor");
  }
  m.def("mean_fp16(Tensor x, int[]? dim, bool keepdim) -> Tensor", tags);
  m.def(
      "interpolate_fp16(Tensor x, SymInt[]? size, float[]? scale_factors, str mode, bool? "
      "align_corners) -> Tensor",
      tags);

  // norm: weight, bias and running statistics are float32 real numbers
  m.def(
      "layer_norm(Tensor x, float x_scale, int x_zero_point, SymInt[] normalized_shape, Tensor? "
      "weight, Tensor? bias, float eps, float y_scale, int y_zero_point, ScalarType y_dtype) -> "
      "Tensor",
      tags);
  m.def(
      "rms_norm(Tensor x, float x_scale, int x_zero_point, SymInt[] normalized_shape, Tensor? "
      "weight, float? eps, float y_scale, int y_zero_point, ScalarType y_dtype) -> Tensor",
      tags);
  m.def(
      "group_norm(Tensor x, float x_scale, int x_zero_point, int num_groups, Tensor? weight, "
      "Tensor? bias, float eps, float y_scale, int y_zero_point, ScalarType y_dtype) -> Tensor",
      tags);
  m.def(
      "instance_norm(Tensor x, float x_scale, int x_zero_point, Tensor? weight, Tensor? bias, "
      "Tensor? running_mean, Tensor? running_var, bool use_input_stats, float eps, float y_scale, "
      "int y_zero_point, ScalarType y_dtype) -> Tensor",
      tags);
  m.def(
      "batch_norm(Tensor x, float x_scale, int x_zero_point, Tensor? weight, Tensor? bias, Tensor "
      "running_mean, Tensor running_var, float eps, float y_scale, int y_zero_point, ScalarType "
      "y_dtype, str activation=\"none\", float[] activation_args=[]) -> Tensor",
      tags);
  m.def(
      "softmax(Tensor x, float x_scale, int x_zero_point, int dim, float y_scale, int "
      "y_zero_point, ScalarType y_dtype) -> Tensor",
      tags);
  m.def(
      "prelu(Tensor x, float x_scale, int x_zero_point, Tensor weight, float y_scale, int "
      "y_zero_point, ScalarType y_dtype) -> Tensor",
      tags);

  // rnn: weights of a layer and direction are w_ih, w_hh (, w_hr), packed int8 with weight_scales
  // or packed float16 without; biases are b_ih, b_hh, or there are none
  m.def(
      "lstm(Tensor x, Tensor? h0, Tensor? c0, Tensor[] weights, Tensor[] weight_scales, Tensor[] "
      "biases, int input_size, int hidden_size, int proj_size, int num_layers, bool bidirectional, "
      "bool batch_first) -> (Tensor y, Tensor h, Tensor c)",
      tags);
  m.def(
      "lstm.data(Tensor data, Tensor batch_sizes, Tensor h0, Tensor c0, Tensor[] weights, Tensor[] "
      "weight_scales, Tensor[] biases, int input_size, int hidden_size, int proj_size, int "
      "num_layers, bool bidirectional) -> (Tensor y, Tensor h, Tensor c)",
      tags);
  m.def(
      "gru(Tensor x, Tensor? h0, Tensor[] weights, Tensor[] weight_scales, Tensor[] biases, int "
      "input_size, int hidden_size, int num_layers, bool bidirectional, bool batch_first) -> "
      "(Tensor y, Tensor h)",
      tags);
  m.def(
      "gru.data(Tensor data, Tensor batch_sizes, Tensor h0, Tensor[] weights, Tensor[] "
      "weight_scales, Tensor[] biases, int input_size, int hidden_size, int num_layers, bool "
      "bidirectional) -> (Tensor y, Tensor h)",
      tags);
  m.def(
      "lstm_cell(Tensor x, Tensor? h, Tensor? c, Tensor[] weights, Tensor[] weight_scales, "
      "Tensor[] biases, int input_size, int hidden_size) -> (Tensor h_next, Tensor c_next)",
      tags);
  m.def(
      "gru_cell(Tensor x, Tensor? h, Tensor[] weights, Tensor[] weight_scales, Tensor[] biases, "
      "int input_size, int hidden_size) -> Tensor",
      tags);
  m.def(
      "rnn_tanh_cell(Tensor x, Tensor? h, Tensor[] weights, Tensor[] weight_scales, Tensor[] "
      "biases, int input_size, int hidden_size) -> Tensor",
      tags);
  m.def(
      "rnn_relu_cell(Tensor x, Tensor? h, Tensor[] weights, Tensor[] weight_scales, Tensor[] "
      "biases, int input_size, int hidden_size) -> Tensor",
      tags);

  // embedding: rows of 8 or 4 bits with their scale and bias, float32 comes out
  m.def("embedding_8bit(Tensor weight, Tensor indices) -> Tensor", tags);
  m.def("embedding_4bit(Tensor weight, SymInt embedding_dim, Tensor indices) -> Tensor", tags);
  m.def(
      "embedding_bag_8bit(Tensor weight, Tensor indices, Tensor? offsets=None, int mode=0, Tensor? "
      "per_sample_weights=None, bool include_last_offset=False, int? padding_idx=None) -> Tensor",
      tags);
  m.def(
      "embedding_bag_4bit(Tensor weight, SymInt embedding_dim, Tensor indices, Tensor? "
      "offsets=None, int mode=0, Tensor? per_sample_weights=None, bool "
      "include_last_offset=False, int? padding_idx=None) -> Tensor",
      tags);
  m.def("embedding_8bit_pack(Tensor weight) -> Tensor", tags);
  m.def("embedding_4bit_pack(Tensor weight) -> Tensor", tags);
  m.def("embedding_8bit_unpack(Tensor weight) -> Tensor", tags);
  m.def("embedding_4bit_unpack(Tensor weight, SymInt embedding_dim) -> Tensor", tags);
}
