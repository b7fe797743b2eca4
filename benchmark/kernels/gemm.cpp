#include "gemm/gemm.h"

#include <new>
#include <string>
#include <vector>

#include "limits.h"

// gemm/<isa>/<layer>: linear layers and matrix products as m x k x n, convolutions of NHWC images
// with explicit padding. Single thread, everything in one call. One row is bound by reading
// the weights, so "%read" is reported for it, and "%peak" for all others.
namespace qnative::gemm {
namespace {

struct Linear {
  const char* model;
  int64_t m, k, n;
};

constexpr Linear kLinear[] = {
    {"square", 512, 512, 512},
    {"bert_qkv", 128, 768, 2304},
    {"bert_attention_out", 128, 768, 768},
    {"bert_ffn_in", 128, 768, 3072},
    {"bert_ffn_out", 128, 3072, 768},
    {"bert_short", 16, 768, 768},
    {"bert_pooler", 1, 768, 768},
    {"vit_mlp", 197, 384, 1536},
    {"attention_scores", 128, 64, 128},
    {"resnet50_fc", 1, 2048, 1000},
    {"efficientnet_fc", 1, 1280, 1000},
    {"llm_decode", 1, 4096, 4096},
    {"tiny", 32, 256, 10},
};

struct Conv {
  const char* model;
  int64_t image, channels, out_channels, kernel, stride;
};

constexpr Conv kConv[] = {
    {"resnet50_first", 224, 3, 64, 7, 2},         {"resnet50_3x3", 56, 64, 64, 3, 1},
    {"resnet50_1x1", 56, 64, 256, 1, 1},          {"resnet50_1x1_reduce", 56, 256, 64, 1, 1},
    {"resnet50_3x3", 28, 128, 128, 3, 1},         {"resnet50_1x1_s2", 28, 512, 1024, 1, 2},
    {"resnet50_3x3", 14, 256, 256, 3, 1},         {"resnet50_3x3", 7, 512, 512, 3, 1},
    {"mobilenet_first", 224, 3, 32, 3, 2},        {"mobilenet_project", 112, 32, 16, 1, 1},
    {"mobilenet_expand", 112, 16, 96, 1, 1},      {"mobilenet_project", 56, 144, 24, 1, 1},
    {"mobilenet_expand", 14, 64, 384, 1, 1},      {"efficientnet_expand", 28, 40, 240, 1, 1},
    {"efficientnet_project", 14, 480, 112, 1, 1}, {"efficientnet_project", 7, 1152, 192, 1, 1},
    {"efficientnet_head", 7, 320, 1280, 1, 1},
};

// Operands as the ops pass them.
template <class T>
struct LineAllocator {
  using value_type = T;
  static constexpr std::align_val_t kLine{64};
  T* allocate(size_t n) { return static_cast<T*>(::operator new(n * sizeof(T), kLine)); }
  void deallocate(T* p, size_t) { ::operator delete(p, kLine); }
  bool operator==(const LineAllocator&) const = default;
};
template <class T>
using Lines = std::vector<T, LineAllocator<T>>;

// Owns the operands of one call.
class Problem {
 public:
  explicit Problem(const Linear& layer) : Problem(layer.m, layer.n, 1, layer.k) {
    x_.resize(layer.m * layer.k + 3);
    args_.x_stride = layer.k;
    finish();
  }

  explicit Problem(const Conv& layer)
      : Problem(square(out_size(layer)), layer.out_channels, layer.kernel,
                layer.kernel * layer.channels) {
    const int64_t out = out_size(layer);
    const int64_t width = (out - 1) * layer.stride + layer.kernel;
    x_.resize(square(width) * layer.channels + 3);
    for (int64_t h = 0; h < out; ++h) {
      for (int64_t w = 0; w < out; ++w) {
        row_offset_.push_back((h * width + w) * layer.stride * layer.channels);
      }
    }
    for (int64_t s = 0; s < layer.kernel; ++s) segment_offset_[s] = s * width * layer.channels;
    args_.row_offset = row_offset_.data();
    finish();
  }

  void run(const Kernel<Fn>& kernel) { kernel.run(args_, 0, m_, 0, args_.n, scratch_.data()); }

  double ops() const { return 2.0 * static_cast<double>(m_) * static_cast<double>(weights()); }
  int64_t weights() const { return args_.n * args_.segments * args_.segment_size; }
  int64_t rows() const { return m_; }

  // Counts each byte of the operands once, however often the kernel reads it.
  double bytes() const {
    return static_cast<double>(x_.size()) + static_cast<double>(weights()) +
           static_cast<double>(y_.size());
  }

 private:
  Problem(int64_t m, int64_t n, int64_t segments, int64_t segment_size)
      : m_(m),
        segment_offset_(segments),
        start_(n + 16),
        multiplier_(n + 16, 1e-4f),
        bias_(n + 16, 100.0f),
        y_(m * n) {
    std::vector<int8_t> weight(n * segments * segment_size);
    for (size_t i = 0; i < weight.size(); ++i) weight[i] = static_cast<int8_t>(i * 37 % 251);
    packed_.resize(packed_size(n, segments, segment_size));
    pack(weight.data(), n, segments, segment_size, packed_.data());
    args_ = {.x = nullptr,
             .row_offset = nullptr,
             .x_stride = 0,
             .segment_offset = segment_offset_.data(),
             .segments = segments,
             .segment_size = segment_size,
             .weight = packed_.data(),
             .start = start_.data(),
             .multiplier = multiplier_.data(),
             .bias = bias_.data(),
             .n = n,
             .y = y_.data(),
             .y_stride = n,
             .float_output = false,
             .requantize = {.zero_point = 128, .lo = 0, .hi = 255, .flip = 0},
             .float_lo = 0,
             .float_hi = 0};
  }

  static int64_t square(int64_t v) { return v * v; }
  static int64_t out_size(const Conv& layer) { return (layer.image - 1) / layer.stride + 1; }

  void finish() {
    for (size_t i = 0; i < x_.size(); ++i) x_[i] = static_cast<uint8_t>(i * 101 % 255);
    args_.x = x_.data();
    scratch_.resize(scratch_size(args_, m_));
  }

  int64_t m_;
  std::vector<int64_t> segment_offset_;
  Lines<int64_t> row_offset_;
  Lines<uint8_t> x_;
  Lines<int8_t> packed_;
  Lines<int32_t> start_;
  Lines<float> multiplier_, bias_;
  Lines<uint8_t> y_;
  Lines<std::byte> scratch_;
  Args args_;
};

template <class Layer>
void add(const Kernel<Fn>& kernel, const Layer& layer, const std::string& shape) {
  const std::string label =
      std::string("gemm/") + name(kernel.isa) + "/" + layer.model + "/" + shape;
  benchmark::RegisterBenchmark(label.c_str(), [kernel, layer](benchmark::State& state) {
    Problem problem(layer);
    const double seconds = limits::fastest(state, [&] { problem.run(kernel); });
    if (problem.rows() == 1) {
      limits::report_read(state, seconds, static_cast<double>(problem.weights()), problem.ops());
    } else {
      limits::report_ops(state, seconds, problem.ops(), problem.bytes(), kernel.isa);
    }
  });
}

const bool kRegistered = [] {
  for (const Kernel<Fn>& kernel : kernels()) {
    if (!is_supported(kernel.isa)) continue;
    for (const Linear& layer : kLinear) {
      add(kernel, layer,
          std::to_string(layer.m) + "x" + std::to_string(layer.k) + "x" + std::to_string(layer.n));
    }
    for (const Conv& layer : kConv) {
      add(kernel, layer,
          std::to_string(layer.kernel) + "x" + std::to_string(layer.kernel) + "_" +
              std::to_string(layer.channels) + "to" + std::to_string(layer.out_channels) + "@" +
              std::to_string(layer.image));
    }
  }
  return true;
}();

}  // namespace
}  // namespace qnative::gemm
