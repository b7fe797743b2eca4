#include "model.h"

#include <algorithm>
#include <set>

#include "argument.h"
#include "codes.h"
#include "error.h"
#include "fields.h"
#include "graph_reader.h"

namespace qnative::program {
namespace {

constexpr int64_t kSchemaMajor = 8;
const std::string kMetadata = "extra/qnative.json";

std::string choose(const Archive& archive, const std::string& wanted) {
  const std::vector<std::string> names = archive.models();
  if (names.empty()) {
    fail(
        "the archive has no exported program: a package of AOTInductor is loaded with "
        "AOTIModelPackageLoader (torch._inductor.aoti_load_package)");
  }
  const std::string name = !wanted.empty() ? wanted : names.size() == 1 ? names[0] : "model";
  if (std::find(names.begin(), names.end(), name) == names.end()) {
    fail("the archive has no model '", name, "'; its models are ", names);
  }
  return name;
}

void check_version(const json::Value& model) {
  const json::Value& version = member(model, "schema_version");
  const int64_t major = integer(member(version, "major"));
  if (major == kSchemaMajor) return;
  const json::Value* writer = find(model, "torch_version");
  fail("schema version ", major, ".", integer(member(version, "minor")),
       writer == nullptr ? "" : " of torch " + text(*writer), ", wanted ", kSchemaMajor,
       major > kSchemaMajor ? ": save the model with torch 2.13 to 2.15, or use a newer qnative"
                            : ": save the model again with torch 2.13 to 2.15");
}

// Weights, buffers and constants by name.
class Payloads {
 public:
  Payloads(Archive& archive, const std::string& model) : archive_(archive) {
    read("data/weights/", model + "_weights_config.json");
    read("data/constants/", model + "_constants_config.json");
  }

  at::Tensor tensor(const std::string& name) {
    const auto found = payloads_.find(name);
    if (found == payloads_.end()) fail("the archive has no tensor '", name, "'");
    return within([&] { return c10::str("tensor '", name, "'"); },
                  [&] { return archive_.tensor(found->second.folder, *found->second.payload); });
  }

 private:
  struct Entry {
    std::string folder;
    const json::Value* payload;
  };

  void read(const std::string& folder, const std::string& config) {
    const std::string record = folder + config;
    configs_.push_back(std::make_unique<json::Value>(archive_.parse(record)));
    within([&] { return c10::str("record '", record, "'"); },
           [&] {
             for (const auto& [name, payload] : object(member(*configs_.back(), "config"))) {
               payloads_.try_emplace(name, Entry{folder, &payload});
             }
           });
  }

  Archive& archive_;
  std::vector<std::unique_ptr<json::Value>> configs_;
  std::unordered_map<std::string, Entry> payloads_;
};

c10::IValue read_constant(const json::Value& value) {
  return read_argument(value, Values()).constant;
}

class Loader {
 public:
  Loader(Archive& archive, const std::string& name)
      : json_(archive.parse("models/" + name + ".json")), payloads_(archive, name) {
    check_version(json_);
    module_ = &member(json_, "graph_module");
    graph_ = &member(*module_, "graph");
    metas_ = &object(member(*graph_, "tensor_values"));
  }

  Model load() {
    read_trees();
    for (const json::Value& spec : array(member(*module_, "signature"), "input_specs")) {
      const auto& [kind, value] = as_union(spec);
      read_input(kind, value);
    }
    if (model_.signature.inputs.size() != model_.signature.in.leaves) {
      fail("in_spec has ", model_.signature.in.leaves, " leaves, the graph takes ",
           model_.signature.inputs.size(), " inputs");
    }
    model_.signature.sizes.finish(member(json_, "range_constraints"), find(json_, "guards_code"),
                                  [this](std::string_view path) { return resolve(path); });
    reader_.read_nodes(*graph_);
    if (!missing_.empty()) refuse_missing();
    read_outputs();
    model_.has_state |= reader_.writes_constants();
    if (!model_.has_state) model_.graph.plan();
    return std::move(model_);
  }

 private:
  void read_trees() {
    const json::Array& calls = array(*module_, "module_call_graph");
    const auto whole = std::find_if(calls.begin(), calls.end(), [](const json::Value& call) {
      return text(call, "fqn").empty();
    });
    if (whole == calls.end()) fail("module_call_graph has no entry of the whole module");
    const json::Value& call = member(*whole, "signature");
    const json::Value none = {json::Object()};
    const json::Value* named_tuples = find(*module_, "treespec_namedtuple_fields");
    const auto parse = [&](const char* name, std::string& spec) {
      spec = text(call, name);
      return within([&] { return name; },
                    [&] { return Tree::parse(spec, named_tuples ? *named_tuples : none); });
    };
    Signature& signature = model_.signature;
    signature.in = parse("in_spec", signature.in_spec);
    signature.out = parse("out_spec", signature.out_spec);
    const Tree& in = signature.in;
    if (in.kind != Tree::Kind::kTuple || in.children.size() != 2 ||
        in.children[0].kind != Tree::Kind::kTuple || in.children[1].kind != Tree::Kind::kDict) {
      fail("in_spec is no pair of positional and keyword arguments");
    }
    name_arguments(find(call, "forward_arg_names"));
  }

  void name_arguments(const json::Value* names) {
    const Tree& positional = model_.signature.in.children[0];
    const Tree& named = model_.signature.in.children[1];
    const auto* given = names == nullptr ? nullptr : std::get_if<json::Array>(&names->data);
    for (size_t i = 0; i < positional.children.size(); ++i) {
      const bool has_name = given != nullptr && i < given->size();
      add_argument(has_name ? text((*given)[i]) : "arg" + std::to_string(i),
                   positional.children[i]);
    }
    for (size_t i = 0; i < named.children.size(); ++i) {
      if (!named.keys[i].isString()) fail("in_spec: the name of an argument is no string");
      add_argument(named.keys[i].toStringRef(), named.children[i]);
    }
  }

  void add_argument(const std::string& name, const Tree& tree) {
    model_.signature.argument_names.push_back(name);
    tree.paths(name, names_);
    // Guards have paths of Python; those of *args begin with the name that all of them share.
    tree.paths("L['" + name + "']", paths_);
  }

  void read_input(const std::string& kind, const json::Value& spec) {
    if (kind == "parameter" || kind == "buffer" || kind == "tensor_constant") {
      read_state(text(spec, kind + "_name"), text(member(spec, "arg"), "name"));
    } else if (kind == "user_input") {
      read_user_input(member(spec, "arg"));
    } else if (kind == "constant_input") {
      add_constant(member(spec, "value"));
    } else {
      fail("an input of kind '", kind, "' is not supported");
    }
  }

  // A parameter, buffer or constant.
  void read_state(const std::string& name, const std::string& value) {
    at::Tensor tensor = payloads_.tensor(name);
    if (const json::Value* meta = metas_->find(value)) {
      within([&] { return c10::str("tensor '", name, "'"); }, [&] { check_meta(tensor, *meta); });
    }
    state_.emplace(name, tensor);
    reader_.values().define(value, std::move(tensor));
  }

  static void check_meta(const at::Tensor& tensor, const json::Value& meta) {
    const at::ScalarType dtype = read_scalar_type(member(meta, "dtype"));
    at::DimVector sizes;
    for (const json::Value& size : array(meta, "sizes")) {
      sizes.push_back(integer(member(size, "as_int")));
    }
    if (tensor.scalar_type() != dtype || tensor.sizes() != sizes) {
      fail("the graph wants ", dtype, " ", at::IntArrayRef(sizes), ", the archive has ",
           tensor.scalar_type(), " ", tensor.sizes());
    }
  }

  Input& add_input() {
    const size_t i = model_.signature.inputs.size();
    if (i >= names_.size())
      fail("in_spec has ", names_.size(), " leaves, the graph takes more inputs");
    model_.signature.inputs.emplace_back();
    model_.signature.inputs.back().name = names_[i];
    return model_.signature.inputs.back();
  }

  void add_constant(const json::Value& value) {
    Input& input = add_input();
    input.kind = Input::Kind::kConstant;
    input.constant = read_constant(value);
  }

  void read_user_input(const json::Value& argument) {
    const auto& [kind, value] = as_union(argument);
    if (kind == "as_tensor") {
      const std::string& name = text(value, "name");
      const json::Value* meta = metas_->find(name);
      if (meta == nullptr) fail("value '", name, "' has no dtype and sizes");
      Input& input = add_input();
      inputs_.emplace(name, model_.signature.inputs.size() - 1);
      within([&] { return c10::str("input '", input.name, "'"); },
             [&] { read_tensor(input, name, *meta); });
    } else if (kind == "as_sym_int") {
      const std::string& name = text(value, "as_name");
      Input& input = add_input();
      input.kind = Input::Kind::kInt;
      input.slot = reader_.add_input(name, ValueKind::kInt);
      input.sizes.push_back(read_size(input, 0, member(member(*graph_, "sym_int_values"), name)));
    } else {
      add_constant(argument);
    }
  }

  void read_tensor(Input& input, const std::string& name, const json::Value& meta) {
    read_device(member(meta, "device"));
    if (read_layout(member(meta, "layout")) != at::kStrided) fail("is not a strided tensor");
    input.dtype = read_scalar_type(member(meta, "dtype"));
    const json::Array& sizes = array(meta, "sizes");
    for (size_t i = 0; i < sizes.size(); ++i) input.sizes.push_back(read_size(input, i, sizes[i]));
    input.slot = reader_.add_input(name, ValueKind::kTensor);
  }

  Input::Size read_size(const Input& input, size_t i, const json::Value& size) {
    const auto& [kind, value] = as_union(size);
    if (kind == "as_int") return {.number = integer(value)};
    if (kind != "as_expr") fail("a size of kind '", kind, "' is not supported");
    return {.variable = model_.signature.sizes.add(text(value, "expr_str"), input.source(i))};
  }

  // "L['x'].size()[0]" of a guard.
  std::optional<Expression> resolve(std::string_view path) const {
    constexpr std::string_view kSize = ".size()[";
    const size_t dot = path.rfind(kSize);
    const std::string_view leaf = path.substr(0, dot);
    const auto found = std::find(paths_.begin(), paths_.end(), leaf);
    if (found == paths_.end()) return std::nullopt;
    const Input& input = model_.signature.inputs[static_cast<size_t>(found - paths_.begin())];
    size_t i = 0;
    if (dot != std::string_view::npos) {
      const std::string_view digit = path.substr(dot + kSize.size());
      if (digit.size() != 2 || digit[0] < '0' || digit[0] > '9' || digit[1] != ']')
        return std::nullopt;
      i = static_cast<size_t>(digit[0] - '0');
    }
    if ((dot == std::string_view::npos) != (input.kind == Input::Kind::kInt)) return std::nullopt;
    if (i >= input.sizes.size()) return std::nullopt;
    const Input::Size& size = input.sizes[i];
    return size.variable < 0 ? Expression::constant(size.number)
                             : Expression::variable(size.variable);
  }

  [[noreturn]] void refuse_missing() const {
    std::set<std::string> libraries;
    for (const std::string& op : missing_) libraries.insert(op.substr(0, op.find(':')));
    const auto list = [](const std::set<std::string>& names) {
      std::string text;
      for (const std::string& name : names) text += (text.empty() ? "'" : ", '") + name + "'";
      return text;
    };
    const bool is_not_lowered = libraries.count("quantized_decomposed") > 0;
    fail("needs operators that are not registered: ", list(missing_), ". ",
         is_not_lowered ? "Lower the model (qnative.lower) before torch.export.save"
                        : "Load the library of " + list(libraries) +
                              " first (torch.ops.load_library, or link it)");
  }

  void read_outputs() {
    std::vector<Argument> outputs;
    std::vector<Slot> kept;
    for (const json::Value& spec : array(member(*module_, "signature"), "output_specs")) {
      const auto& [kind, value] = as_union(spec);
      if (kind == "user_output") {
        add_output(read_argument(member(value, "arg"), reader_.values()), outputs);
      } else if (kind == "loss_output") {
        add_output(reader_.values().use(text(member(value, "arg"), "name")), outputs);
      } else {
        read_mutation(kind, value);
        kept.push_back(model_.mutations.back().value.slot);
      }
    }
    if (outputs.size() != model_.signature.out.leaves) {
      fail("out_spec has ", model_.signature.out.leaves, " leaves, the graph gives ",
           outputs.size(), " outputs");
    }
    std::erase(kept, kNoSlot);
    model_.graph = reader_.finish(std::move(outputs), kept);
  }

  void add_output(Argument output, std::vector<Argument>& outputs) {
    if (output.kind == Argument::Kind::kList) fail("an output of the graph is a list");
    const bool is_tensor = output.is_constant()
                               ? output.constant.isTensor()
                               : reader_.values().kind(output.slot) == ValueKind::kTensor;
    model_.signature.outputs.push_back({is_tensor              ? Output::Kind::kTensor
                                        : output.is_constant() ? Output::Kind::kConstant
                                                               : Output::Kind::kNumber,
                                        is_tensor ? c10::IValue() : output.constant});
    outputs.push_back(std::move(output));
  }

  void read_mutation(const std::string& kind, const json::Value& spec) {
    Mutation mutation;
    mutation.value = reader_.values().use(text(member(spec, "arg"), "name"));
    if (kind == "buffer_mutation" || kind == "parameter_mutation") {
      const std::string& name =
          text(spec, kind == "buffer_mutation" ? "buffer_name" : "parameter_name");
      const auto found = state_.find(name);
      if (found == state_.end()) fail("the output changes '", name, "', which is not known");
      mutation.target = found->second;
      model_.has_state = true;
    } else if (kind == "user_input_mutation") {
      const std::string& name = text(spec, "user_input_name");
      const auto found = inputs_.find(name);
      if (found == inputs_.end()) fail("the output changes input '", name, "', which is not known");
      mutation.input = found->second;
    } else {
      fail("an output of kind '", kind, "' is not supported");
    }
    model_.mutations.push_back(std::move(mutation));
  }

  json::Value json_;
  Payloads payloads_;
  const json::Value* module_ = nullptr;
  const json::Value* graph_ = nullptr;
  const json::Object* metas_ = nullptr;                // of tensors, by name in the graph
  std::unordered_map<std::string, at::Tensor> state_;  // by name in the module
  std::unordered_map<std::string, size_t> inputs_;     // by name in the graph
  std::vector<std::string> names_, paths_;             // of the leaves of the inputs
  std::set<std::string> missing_;
  GraphReader reader_{missing_};
  Model model_;
};

}  // namespace

Model Model::load(Archive& archive, const std::string& name) {
  const std::string chosen = choose(archive, name);
  Model model = Loader(archive, chosen).load();
  model.weight_bytes = archive.tensor_bytes();
  if (archive.has(kMetadata)) model.metadata = archive.read(kMetadata);
  return model;
}

}  // namespace qnative::program
