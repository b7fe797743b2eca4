#pragma once

#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "families.h"

// Rows of tables, and the configs built from them.
namespace qnative::families {

inline constexpr auto kOwnObserver = ObservationType::OUTPUT_USE_DIFFERENT_OBSERVER_AS_INPUT;
inline constexpr auto kSharedObserver = ObservationType::OUTPUT_SHARE_OBSERVER_WITH_INPUT;
inline constexpr auto kNotObserved = ObservationType::INPUT_OUTPUT_NOT_OBSERVED;

inline constexpr const char* kFree = "free";
inline constexpr const char* kRelu = "torch.nn.ReLU";
inline constexpr const char* kFunctionalRelu = "torch.nn.functional.relu";

inline const std::string kNN = "torch.nn.";
inline const std::string kFunctional = "torch.nn.functional.";
inline const std::string kIntrinsic = "torch.ao.nn.intrinsic.";
inline const std::string kIntrinsicQat = "torch.ao.nn.intrinsic.qat.";
inline const std::string kQat = "torch.ao.nn.qat.";
inline const std::string kReference = "torch.ao.nn.quantized.reference.";
inline const std::string kFusers = "torch.ao.quantization.fuser_method_mappings.";

struct Row {
  Pattern pattern;
  std::string op;
  ObservationType observation_type = kOwnObserver;
  std::string root_module = {};
  std::string reference_quantized_module = {};
  std::string qat_module = {};
  std::string fused_module = {};
  std::string fuser_method = {};
  // Positions among the arguments of a function.
  std::vector<std::pair<const char*, int64_t>> inputs = {};
};

// The name of the variant of `op` for the dtypes of one DTypeConfig.
using Naming = std::string (*)(const std::string& op, const DTypeConfig& dtypes);

// "linear", "linear_dynamic", "linear_dynamic_fp16", "linear_fp16", "linear_4bit";
// "embedding_8bit", "embedding_4bit"; "" if there is none. float16 has no scales: cat only moves
// data, max_pool is the same op, and pointwise_fp16 computes what lookup reads from a table of 8
// bits.
std::string with_dtypes(const std::string& op, const DTypeConfig& dtypes);

Configs build(const std::vector<Row>& rows, const DTypeConfigs& dtype_configs,
              Naming naming = with_dtypes);

Configs build(const std::vector<PatternAndOp>& patterns, ObservationType observation_type,
              const DTypeConfigs& dtype_configs);

inline Pattern sequence(std::vector<Pattern> patterns) {
  return Pattern::tuple(std::move(patterns));
}

// The fuser method that wraps two modules in `module`, a Sequential.
inline std::string sequential(const std::string& module) {
  return kFusers + "_sequential_wrapper2(" + module + ")";
}

template <typename T>
void append(std::vector<T>& list, std::vector<T> more) {
  list.insert(list.end(), std::make_move_iterator(more.begin()),
              std::make_move_iterator(more.end()));
}

}  // namespace qnative::families
