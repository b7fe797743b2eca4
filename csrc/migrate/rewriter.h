#pragma once

#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/ir/ir.h>

#include <map>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <vector>

#include "qnative/migrate.h"
#include "qnative/types.h"

// Rewrites a graph node by node, in order, with tables of handlers by kind of node.
namespace qnative::migration {

using c10::IValue;
using torch::jit::Block;
using torch::jit::Graph;
using torch::jit::NamedValue;
using torch::jit::Node;
using torch::jit::Value;
using Verdict = MigrationVerdict;

// Why a node cannot be moved.
class Unsupported : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

// The replacement of a quantized tensor, or of a list of tensors with the same scale and zero
// point.
struct Quantized {
  Value* data;
  QParams qparams;
  at::ScalarType dtype;  // kByte or kChar

  bool same_qparams(const Quantized& other) const {
    return qparams.scale == other.qparams.scale && qparams.zero_point == other.qparams.zero_point &&
           dtype == other.dtype;
  }
};

// Arguments of an op: x, x_scale, x_zero_point; y_scale, y_zero_point, y_dtype.
using Args = std::vector<NamedValue>;
void add_input(Args& args, const Quantized& x);
void add_output(Args& args, const OutputSpec& y);

struct IntRange {
  int64_t min;
  int64_t max;
};
IntRange range_of(at::ScalarType dtype);

class Rewriter;

// A node to be replaced: its arguments by schema name, and its replacement. Functions throw
// Unsupported before they change the graph in a way that matters.
class CallSite {
 public:
  CallSite(Rewriter& rewriter, Node* node) : rewriter_(rewriter), node_(node) {}

  Node* node() const { return node_; }
  std::string kind() const { return node_->kind().toQualString(); }
  bool has(const std::string& name) const;
  Value* arg(const std::string& name) const;
  // The value of a constant argument; Unsupported if it is not constant.
  IValue constant(const std::string& name) const;
  IValue constant(Value* value, const std::string& name) const;
  double real(const std::string& name) const;
  int64_t integer(const std::string& name) const;
  bool flag(const std::string& name) const;

  // The 8-bit tensor that replaces an argument.
  Quantized quantized(const std::string& name) const;
  Quantized quantized(Value* value, const std::string& name) const;
  std::optional<Quantized> find(Value* value) const;
  // The 8-bit tensors of a list.
  std::vector<Quantized> elements(const std::string& name) const;
  // All elements of a list of constants.
  std::vector<IValue> constants(const std::string& name) const;
  // The elements of a list built in the graph.
  at::ArrayRef<Value*> list(const std::string& name) const;

  Value* insert(const IValue& value);
  Value* call(const std::string& op, at::ArrayRef<NamedValue> args);
  // Copies the node, on 8-bit data.
  Node* clone_on_data();

  // Replaces the (first) output of the node by y, 8-bit or not.
  void becomes(const Quantized& y);
  void becomes(Value* y);
  void becomes(size_t output, Value* y);
  void becomes(size_t output, const Quantized& y);

  // The dtype for the weights of a float node: the one the caller asked for, or `otherwise`.
  at::ScalarType weight_dtype(at::ScalarType otherwise) const;

  // Packed weights by their source, shared by all nodes with the same source.
  std::map<std::string, std::vector<IValue>>& packed(const void* key) const;

 private:
  Rewriter& rewriter_;
  Node* node_;
};

using Handler = void (*)(CallSite&);
using Handlers = std::unordered_map<std::string, Handler>;

// Handlers of every family, by kind. Kinds that also exist for float ("aten::relu") are handled if
// an argument is quantized.
Handler find_handler(const Node* node);
const Handlers& static_handlers();
const Handlers& pool_handlers();
const Handlers& function_handlers();
const Handlers& data_handlers();
const Handlers& dynamic_handlers();
const Handlers& rnn_handlers();
const Handlers& embedding_handlers();
// Handlers of float nodes, for MigrateOptions::dynamic.
const Handlers& float_handlers();

// Rewrites one graph.
class Rewriter {
 public:
  Rewriter(std::string method, std::shared_ptr<Graph> graph, const MigrateOptions& options,
           std::vector<MigrationRow>& rows);
  void run();

  Graph& graph() { return *graph_; }
  const MigrateOptions& options() const { return options_; }
  std::optional<Quantized> find(const Value* value) const;
  void bind(Value* old, const Quantized& now);
  void called(const std::string& op) { kernel_ = op; }
  std::map<const void*, std::map<std::string, std::vector<IValue>>>& packed() { return packed_; }

 private:
  void block(Block* block);
  void node(Node* node);
  // `otherwise`: the verdict on a node that the handler does not move.
  bool handle(Node* node, Handler handler, Verdict otherwise);
  void quantized_constant(Node* node);
  void list(Node* node);
  void branches(Node* node);
  void loop(Node* node);
  void keep(Node* node, const std::string& reason);
  void unquantizable_results(Block* block);
  Value* as_quantized_tensor(Value* value, Node* before);
  bool holds_quantized(const Value* value) const;
  bool uses_quantized(const Node* node) const;
  void row(const Node* node, Verdict verdict, const std::string& kernel, const std::string& reason);

  std::string method_;
  std::shared_ptr<Graph> graph_;
  const MigrateOptions& options_;
  std::vector<MigrationRow>& rows_;
  std::unordered_map<const Value*, Quantized> values_;
  std::vector<Node*> replaced_;
  std::string kernel_;
  std::map<const void*, std::map<std::string, std::vector<IValue>>> packed_;
};

// Whether quantized tensors or packed parameters are its only inputs or outputs.
bool is_old(const Node* node);

// Whether the list is changed after it was made.
bool is_changed(const Value* list);

MigrationRow make_row(const std::string& method, const Node* node, Verdict verdict,
                      const std::string& kernel, const std::string& reason);

}  // namespace qnative::migration
