#include "qnative/info.h"

#include <torch/version.h>

#include <string>
#include <string_view>

#include "attention/attention.h"
#include "channel_params/channel_params.h"
#include "dwconv/dwconv.h"
#include "elementwise/elementwise.h"
#include "embedding/embedding.h"
#include "fp16/fp16.h"
#include "gemm/gemm.h"
#include "gemm_4bit/gemm_4bit.h"
#include "gemm_fp16/gemm_fp16.h"
#include "interleave/interleave.h"
#include "interpolate/interpolate.h"
#include "isa.h"
#include "lookup/lookup.h"
#include "norm/norm.h"
#include "panels/panels.h"
#include "pool/pool.h"
#include "qnative/limits.h"
#include "quantize/quantize.h"
#include "rnn_cell/rnn_cell.h"

namespace qnative {
namespace {

class Lines {
 public:
  explicit Lines(Isa cap) : cap_(cap) {}

  template <class Fn>
  void add(const char* table, std::span<const Kernel<Fn>> kernels) {
    text_ += std::string(table) + " " + name(best(kernels, cap_).isa) + "\n";
  }

  const std::string& text() const { return text_; }

 private:
  Isa cap_;
  std::string text_;
};

std::string kernel_lines(Isa cap) {
  Lines lines(cap);
  lines.add("attention.probabilities", attention::probabilities_kernels());
  lines.add("attention.combine", attention::combine_kernels());
  lines.add("attention.combine_float", attention::combine_float_kernels());
  lines.add("attention.measure_columns", attention::measure_columns_kernels());
  lines.add("attention.quantize_columns", attention::quantize_columns_kernels());
  lines.add("attention.quantize_rows", attention::quantize_rows_kernels());
  lines.add("attention.float_rows", attention::float_rows_kernels());
  lines.add("channel_params.scale", channel_params::scale_kernels());
  lines.add("dwconv", dwconv::kernels());
  lines.add("elementwise.add", elementwise::add_kernels());
  lines.add("elementwise.mul", elementwise::mul_kernels());
  lines.add("embedding.rows_8bit", embedding::rows_8bit_kernels());
  lines.add("embedding.rows_4bit", embedding::rows_4bit_kernels());
  lines.add("embedding.bags_8bit", embedding::bags_8bit_kernels());
  lines.add("embedding.bags_4bit", embedding::bags_4bit_kernels());
  lines.add("fp16.add", fp16::add_kernels());
  lines.add("fp16.mul", fp16::mul_kernels());
  lines.add("fp16.unary", fp16::unary_kernels());
  lines.add("fp16.softmax", fp16::softmax_kernels());
  lines.add("fp16.max", fp16::max_kernels());
  lines.add("fp16.mean", fp16::mean_kernels());
  lines.add("gemm", gemm::kernels());
  lines.add("gemm_4bit", gemm_4bit::kernels());
  lines.add("gemm_4bit.quantize", gemm_4bit::quantize_kernels());
  lines.add("gemm_4bit.fit", gemm_4bit::fit_kernels());
  lines.add("gemm_fp16", gemm_fp16::kernels());
  lines.add("gemm_fp16.widen", gemm_fp16::widen_kernels());
  lines.add("interleave", interleave::kernels());
  lines.add("interpolate.row", interpolate::row_kernels());
  lines.add("interpolate.column", interpolate::column_kernels());
  lines.add("interpolate.row_fp16", interpolate::row_fp16_kernels());
  lines.add("interpolate.column_fp16", interpolate::column_fp16_kernels());
  lines.add("lookup", lookup::kernels());
  lines.add("norm.sum", norm::sum_kernels());
  lines.add("norm.sum_columns", norm::sum_columns_kernels());
  lines.add("norm.scale", norm::scale_kernels());
  lines.add("norm.scale_each", norm::scale_each_kernels());
  lines.add("norm.affine", norm::affine_kernels());
  lines.add("norm.affine_float", norm::affine_float_kernels());
  lines.add("norm.prelu", norm::prelu_kernels());
  lines.add("norm.largest", norm::largest_kernels());
  lines.add("norm.sum_exponentials", norm::sum_exponentials_kernels());
  lines.add("norm.exponentials", norm::exponentials_kernels());
  lines.add("panels", panels::kernels());
  lines.add("pool.max", pool::max_kernels());
  lines.add("pool.mean", pool::mean_kernels());
  lines.add("quantize", quantize::quantize_kernels());
  lines.add("quantize.dequantize", quantize::dequantize_kernels());
  lines.add("quantize.quantize_each", quantize::quantize_each_kernels());
  lines.add("quantize.dequantize_each", quantize::dequantize_each_kernels());
  lines.add("quantize.summarize", quantize::summarize_kernels());
  lines.add("quantize.find_above", quantize::find_above_kernels());
  lines.add("rnn_cell.lstm", rnn_cell::lstm_kernels());
  lines.add("rnn_cell.gru", rnn_cell::gru_kernels());
  lines.add("rnn_cell.rnn_tanh", rnn_cell::rnn_tanh_kernels());
  lines.add("rnn_cell.rnn_relu", rnn_cell::rnn_relu_kernels());
  return lines.text();
}

// The Python package looks for it in the file, before it loads it.
constexpr std::string_view kBuiltFor = "qnative built for torch ";
const char kBuild[] = "qnative built for torch " TORCH_VERSION;

}  // namespace
}  // namespace qnative

const char* qnative_torch_version() { return qnative::kBuild + qnative::kBuiltFor.size(); }

int64_t qnative_max_products_u8s8() { return qnative::kMaxProductsU8S8; }
int64_t qnative_max_products_u8u8() { return qnative::kMaxProductsU8U8; }

const char* qnative_isas() {
#define QNATIVE_ISA_LINE(value, name) #name "\n"
  return QNATIVE_ISAS(QNATIVE_ISA_LINE);
#undef QNATIVE_ISA_LINE
}

const char* qnative_kernels() {
  static const std::string lines = [] {
    const auto cap = qnative::isa_cap();
    return cap ? qnative::kernel_lines(*cap) : std::string();
  }();
  return lines.c_str();
}
