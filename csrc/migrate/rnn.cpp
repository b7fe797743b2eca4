#include "dynamic.h"
#include "qnative/ops.h"

// Recurrent layers and cells.
namespace qnative::migration {
namespace {

Value* tensor_list(CallSite& site, const std::vector<at::Tensor>& tensors) {
  std::vector<Value*> values;
  values.reserve(tensors.size());
  for (const at::Tensor& each : tensors) values.push_back(site.insert(each));
  Graph& graph = *site.node()->owningGraph();
  return graph.insertNode(graph.createList(c10::TensorType::get(), values))->output();
}

// weights, weight_scales, biases, input_size, hidden_size
Args constants(CallSite& site, const Recurrent& layer, int64_t gates) {
  std::vector<at::Tensor> weights;
  std::vector<at::Tensor> scales;
  for (const PackedWeight& each : layer.weights) {
    weights.push_back(each.data);
    if (each.scale.defined()) scales.push_back(each.scale);
  }
  return {tensor_list(site, weights), tensor_list(site, scales), tensor_list(site, layer.biases),
          layer.weights[0].shape[1], layer.weights[1].shape[0] / gates};
}

int64_t gates_of(const std::string& op) {
  if (op.starts_with("qnative::lstm")) return 4;
  return op.starts_with("qnative::gru") ? 3 : 1;
}

// An element of a list, built in the graph or not.
Value* element(CallSite& site, Value* list, int64_t i) {
  if (list->node()->kind() == c10::prim::ListConstruct && !is_changed(list))
    return list->node()->input(i);
  return site.call("aten::__getitem__", {list, i});
}

void add_states(CallSite& site, Args& args) {
  Value* hx = site.arg("hx");
  if (hx->type()->kind() != c10::TypeKind::ListType) return args.emplace_back(hx), void();
  for (int64_t i = 0; i < 2; ++i) args.emplace_back(element(site, hx, i));
}

void finish(CallSite& site, const std::string& op, const Args& args) {
  Value* y = site.call(op, args);
  if (site.node()->outputs().size() == 1) return site.becomes(y);
  const Node* tuple = y->node();  // several results of an op come in a tuple
  for (size_t i = 0; i < site.node()->outputs().size(); ++i) site.becomes(i, tuple->input(i));
}

// ---- old packed parameters -----------------------------------------------------------------

// The kernels add the biases that are packed with the weights and ignore other biases of the
// module.
void add_packed(Recurrent& layer, const IValue& packed) {
  PackedWeight weight = packed_linear(packed);
  layer.biases.push_back(weight.bias ? weight.bias->to(at::kFloat) : at::zeros({weight.shape[0]}));
  layer.weights.push_back(std::move(weight));
}

// (type, tensors, doubles, longs, packed weights)
void add_cell_params(Recurrent& layer, const IValue& params) {
  const IValue state = params.toObject()->type()->getMethod("__getstate__")({params});
  const std::vector<IValue> parts = state.toTupleRef().elements().vec();
  const std::string type = parts.at(0).toStringRef();
  if (type != "quantized_fp16" && type != "quantized_dynamic") {
    throw Unsupported("its parameters are of kind '" + type + "'");
  }
  const std::vector<IValue> packed = parts.at(4).toList().vec();
  if (packed.size() != 2) {
    throw Unsupported("its parameters hold " + std::to_string(packed.size()) + " weights, not 2");
  }
  for (const IValue& each : packed) add_packed(layer, each);
}

void quantized_layer(CallSite& site, const std::string& op) {
  Recurrent layer;
  for (const IValue& each : site.constants("params")) add_cell_params(layer, each);
  emit_layer(site, op, layer);
}

void quantized_lstm(CallSite& site) { quantized_layer(site, "qnative::lstm"); }
void quantized_gru(CallSite& site) { quantized_layer(site, "qnative::gru"); }

void quantized_cell(CallSite& site) {
  const std::string prefix = "quantized::quantized_";
  const std::string suffix = "_dynamic";
  const std::string kind = site.kind();
  const std::string name = kind.substr(prefix.size(), kind.size() - prefix.size() - suffix.size());
  Recurrent layer;
  for (const char* weight : {"w_ih", "w_hh"}) add_packed(layer, site.constant(weight));
  emit_cell(site, "qnative::" + name, layer);
}

}  // namespace

void emit_layer(CallSite& site, const std::string& op, const Recurrent& layer) {
  if (layer.weights.empty()) throw Unsupported("it has no weights");
  if (site.flag("train") && site.real("dropout") > 0) {
    throw Unsupported("it drops out: it was traced in training mode");
  }
  const bool data = site.has("batch_sizes");
  const Args sizes = constants(site, layer, gates_of(op));
  Args args{site.arg(data ? "data" : "input")};
  if (data) args.emplace_back(site.arg("batch_sizes"));
  add_states(site, args);
  args.insert(args.end(), sizes.begin(), sizes.end());
  if (gates_of(op) == 4) {
    const int64_t directions = site.flag("bidirectional") ? 2 : 1;
    const bool projects =
        static_cast<int64_t>(layer.weights.size()) == 3 * site.integer("num_layers") * directions;
    args.emplace_back(projects ? layer.weights[2].shape[0] : int64_t{0});
  }
  args.emplace_back(site.arg("num_layers"));
  args.emplace_back(site.arg("bidirectional"));
  if (!data) args.emplace_back(site.arg("batch_first"));
  finish(site, op, args);
}

void emit_cell(CallSite& site, const std::string& op, const Recurrent& layer) {
  const Args sizes = constants(site, layer, gates_of(op));
  Args args{site.arg("input")};
  add_states(site, args);
  args.insert(args.end(), sizes.begin(), sizes.end());
  finish(site, op, args);
}

const Handlers& rnn_handlers() {
  static const Handlers handlers = {
      {"aten::quantized_lstm", quantized_lstm},
      {"aten::quantized_gru", quantized_gru},
      {"quantized::quantized_lstm_cell_dynamic", quantized_cell},
      {"quantized::quantized_gru_cell_dynamic", quantized_cell},
      {"quantized::quantized_rnn_tanh_cell_dynamic", quantized_cell},
      {"quantized::quantized_rnn_relu_cell_dynamic", quantized_cell},
  };
  return handlers;
}

}  // namespace qnative::migration
