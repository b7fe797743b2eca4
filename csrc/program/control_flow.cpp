#include <ATen/autocast_mode.h>

#include "calls.h"
#include "error.h"

namespace qnative::program {
namespace {

using c10::IValue;
using Values = std::vector<IValue>;

bool truth(const IValue& value) {
  return value.isTensor() ? value.toTensor().item().toBool() : value.toBool();
}

// Runs a graph in a frame that is used again and again.
class Nested {
 public:
  explicit Nested(const Graph& graph) : graph_(graph) {
    frame_.slots.resize(static_cast<size_t>(graph.slots));
  }

  void run(const Values& inputs, Values& outputs) {
    for (size_t i = 0; i < inputs.size(); ++i) frame_[graph_.inputs[i]] = inputs[i];
    graph_.run(frame_);
    outputs.clear();
    for (const Argument& output : graph_.outputs) outputs.push_back(output.value(frame_));
    for (IValue& slot : frame_.slots) slot = IValue();
  }

 private:
  const Graph& graph_;
  Frame frame_;
};

class GraphCall : public Call {
 public:
  GraphCall(std::vector<Argument> arguments, std::vector<Slot> outputs)
      : Call(std::move(arguments)), outputs_(std::move(outputs)) {}

 protected:
  // The values of the arguments from the first-th on.
  Values values(const Frame& frame, size_t first) const {
    Values result;
    for (size_t i = first; i < arguments_.size(); ++i) result.push_back(arguments_[i].value(frame));
    return result;
  }

  void store(Values& results, Frame& frame) const {
    for (size_t i = 0; i < outputs_.size(); ++i) {
      const Slot slot = outputs_[i];
      if (slot != kNoSlot) frame[slot] = std::move(results[i]);
    }
  }

  void check(const Graph& graph, size_t inputs, size_t outputs) const {
    if (graph.inputs.size() != inputs || graph.outputs.size() != outputs) {
      fail("a nested graph has ", graph.inputs.size(), " inputs and ", graph.outputs.size(),
           " outputs, wanted ", inputs, " and ", outputs);
    }
  }

  std::vector<Slot> outputs_;
};

// As torch.autocast.__enter__ and __exit__.
class AutocastGuard {
 public:
  explicit AutocastGuard(const Autocast& autocast)
      : was_enabled_(at::autocast::is_autocast_enabled(at::kCPU)),
        had_cache_(at::autocast::is_autocast_cache_enabled()),
        dtype_(at::autocast::get_autocast_dtype(at::kCPU)) {
    at::autocast::set_autocast_enabled(at::kCPU, autocast.is_enabled);
    at::autocast::set_autocast_cache_enabled(autocast.has_cache);
    at::autocast::set_autocast_dtype(at::kCPU, autocast.dtype.value_or(dtype_));
    at::autocast::increment_nesting();
  }
  ~AutocastGuard() {
    if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
    at::autocast::set_autocast_enabled(at::kCPU, was_enabled_);
    at::autocast::set_autocast_cache_enabled(had_cache_);
    at::autocast::set_autocast_dtype(at::kCPU, dtype_);
  }
  AutocastGuard(const AutocastGuard&) = delete;
  AutocastGuard& operator=(const AutocastGuard&) = delete;

 private:
  bool was_enabled_, had_cache_;
  at::ScalarType dtype_;
};

class Once : public GraphCall {
 public:
  Once(std::vector<Argument> arguments, Graph graph, std::vector<Slot> outputs,
       std::optional<Autocast> autocast)
      : GraphCall(std::move(arguments), std::move(outputs)),
        graph_(std::move(graph)),
        autocast_(autocast) {
    check(graph_, arguments_.size(), outputs_.size());
  }

  void run(Frame& frame) const override {
    Values results;
    std::optional<AutocastGuard> guard;
    if (autocast_) guard.emplace(*autocast_);
    Nested(graph_).run(values(frame, 0), results);
    store(results, frame);
  }
  void plan() override { graph_.plan(); }

 private:
  Graph graph_;
  std::optional<Autocast> autocast_;
};

class Cond : public GraphCall {
 public:
  Cond(std::vector<Argument> arguments, Graph then, Graph otherwise, std::vector<Slot> outputs)
      : GraphCall(std::move(arguments), std::move(outputs)),
        then_(std::move(then)),
        otherwise_(std::move(otherwise)) {
    check(then_, arguments_.size() - 1, outputs_.size());
    check(otherwise_, arguments_.size() - 1, outputs_.size());
  }

  void run(Frame& frame) const override {
    Values results;
    const bool condition = truth(arguments_[0].value(frame));
    Nested(condition ? then_ : otherwise_).run(values(frame, 1), results);
    store(results, frame);
  }
  void plan() override {
    then_.plan();
    otherwise_.plan();
  }

 private:
  Graph then_, otherwise_;
};

class WhileLoop : public GraphCall {
 public:
  WhileLoop(std::vector<Argument> arguments, size_t carried, Graph condition, Graph body,
            std::vector<Slot> outputs)
      : GraphCall(std::move(arguments), std::move(outputs)),
        carried_(carried),
        condition_(std::move(condition)),
        body_(std::move(body)) {
    check(condition_, arguments_.size(), 1);
    check(body_, arguments_.size(), carried_);
    if (outputs_.size() != carried_) fail("wanted ", carried_, " results, got ", outputs_.size());
  }

  void run(Frame& frame) const override {
    Values state = values(frame, 0), results;
    Nested condition(condition_), body(body_);
    while (condition.run(state, results), truth(results[0])) {
      body.run(state, results);
      std::move(results.begin(), results.end(), state.begin());
    }
    store(state, frame);
  }
  void plan() override {
    condition_.plan();
    body_.plan();
  }

 private:
  size_t carried_;
  Graph condition_, body_;
};

// The body gets the carried values, a row of each tensor that is scanned, and the values that do
// not change; it gives the next carried values, and rows of the results.
class Scan : public GraphCall {
 public:
  Scan(std::vector<Argument> arguments, size_t carried, size_t scanned, Graph body,
       std::vector<Slot> outputs)
      : GraphCall(std::move(arguments), std::move(outputs)),
        carried_(carried),
        scanned_(scanned),
        body_(std::move(body)) {
    check(body_, arguments_.size(), outputs_.size());
    if (scanned_ == 0 || outputs_.size() < carried_) fail("wanted tensors to scan, and results");
  }

  void run(Frame& frame) const override {
    Values inputs = values(frame, 0), results;
    const std::vector<at::Tensor> scanned = take_scanned(inputs);
    std::vector<std::vector<at::Tensor>> rows(outputs_.size() - carried_);
    Nested body(body_);
    for (int64_t i = 0; i < scanned[0].size(0); ++i) {
      for (size_t j = 0; j < scanned_; ++j) inputs[carried_ + j] = scanned[j].select(0, i);
      body.run(inputs, results);
      std::move(results.begin(), results.begin() + static_cast<std::ptrdiff_t>(carried_),
                inputs.begin());
      for (size_t j = 0; j < rows.size(); ++j) rows[j].push_back(results[carried_ + j].toTensor());
    }
    inputs.resize(carried_);
    for (const auto& each : rows) inputs.emplace_back(at::stack(each));
    store(inputs, frame);
  }
  void plan() override { body_.plan(); }

 private:
  std::vector<at::Tensor> take_scanned(const Values& inputs) const {
    std::vector<at::Tensor> scanned;
    for (size_t j = 0; j < scanned_; ++j) {
      scanned.push_back(inputs[carried_ + j].toTensor());
      const at::Tensor& x = scanned.back();
      if (x.dim() == 0 || x.size(0) == 0 || x.size(0) != scanned[0].size(0)) {
        fail("wanted tensors with equally many rows, at least one, got ", x.sizes());
      }
    }
    return scanned;
  }

  size_t carried_, scanned_;
  Graph body_;
};

}  // namespace

std::unique_ptr<Call> make_cond(std::vector<Argument> arguments, Graph then, Graph otherwise,
                                std::vector<Slot> outputs) {
  return std::make_unique<Cond>(std::move(arguments), std::move(then), std::move(otherwise),
                                std::move(outputs));
}

std::unique_ptr<Call> make_while_loop(std::vector<Argument> arguments, size_t carried,
                                      Graph condition, Graph body, std::vector<Slot> outputs) {
  return std::make_unique<WhileLoop>(std::move(arguments), carried, std::move(condition),
                                     std::move(body), std::move(outputs));
}

std::unique_ptr<Call> make_scan(std::vector<Argument> arguments, size_t carried, size_t scanned,
                                Graph body, std::vector<Slot> outputs) {
  return std::make_unique<Scan>(std::move(arguments), carried, scanned, std::move(body),
                                std::move(outputs));
}

std::unique_ptr<Call> make_graph_call(std::vector<Argument> arguments, Graph graph,
                                      std::vector<Slot> outputs, std::optional<Autocast> autocast) {
  return std::make_unique<Once>(std::move(arguments), std::move(graph), std::move(outputs),
                                autocast);
}

}  // namespace qnative::program
