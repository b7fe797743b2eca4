#include "qnative/migrate.h"

#include <torch/csrc/jit/ir/constants.h>
#include <torch/csrc/jit/passes/freeze_module.h>
#include <torch/csrc/jit/passes/inline_fork_wait.h>
#include <torch/csrc/jit/passes/inliner.h>
#include <torch/csrc/jit/serialization/export.h>
#include <torch/csrc/jit/serialization/import.h>

#include <algorithm>
#include <filesystem>
#include <sstream>
#include <string>

#include "compare.h"
#include "constants.h"
#include "replacement.h"
#include "rewriter.h"
#include "run.h"

namespace qnative {
namespace migration {
namespace {

using torch::jit::Module;

bool is_packed_class(const c10::TypePtr& type) {
  const auto named = type->cast<c10::ClassType>();
  if (!named || !named->name()) return false;
  const std::string name = named->name()->qualifiedName();
  for (const char* space : {"torch.classes.quantized.", "torch.classes.rnn."}) {
    if (name.find(space) != std::string::npos) return true;
  }
  return false;
}

bool is_old_constant(const Node* node) {
  if (node->kind() != c10::prim::Constant) return false;
  if (is_packed_class(node->output()->type())) return true;
  const auto value = torch::jit::toIValue(node->output());
  return value && value->isTensor() && value->toTensor().defined() &&
         value->toTensor().is_quantized();
}

bool any_kept(const std::vector<MigrationRow>& rows) {
  return std::any_of(rows.begin(), rows.end(),
                     [](const MigrationRow& row) { return row.verdict == Verdict::KEPT; });
}

// rewritten: all nodes of the graph have rows already, so that remaining old constants and
// quantized tensors belong to kept nodes.
void find_old_nodes(const Block* block, const std::string& method, bool rewritten,
                    std::vector<MigrationRow>& rows) {
  for (const Node* node : block->nodes()) {
    for (const Block* inner : node->blocks()) find_old_nodes(inner, method, rewritten, rows);
    if ((is_old(node) || is_old_constant(node)) && !(rewritten && any_kept(rows))) {
      rows.push_back(
          make_row(method, node, Verdict::KEPT, "", "it is in a method that is not inlined"));
    }
  }
}

// Adds a row for everything of the old quantization that is left in the module.
void find_what_is_left(const Module& module, const std::string& path,
                       std::vector<MigrationRow>& rows) {
  for (const auto& method : module.get_methods()) {
    find_old_nodes(method.graph()->block(), path + method.name(), path.empty(), rows);
  }
  for (const auto& attribute : module.named_attributes(/*recurse=*/false)) {
    const bool quantized = attribute.value.isTensor() && attribute.value.toTensor().defined() &&
                           attribute.value.toTensor().is_quantized();
    if (quantized || is_packed_class(attribute.value.type())) {
      rows.push_back({path, attribute.name, attribute.value.type()->str(), Verdict::KEPT, "",
                      "it is an attribute that a method writes", ""});
    }
  }
  for (const auto& child : module.named_children()) {
    find_what_is_left(child.value, path + child.name + ".", rows);
  }
}

Module frozen(const Module& module) {
  Module copy = module.clone();
  copy.eval();
  std::vector<std::string> methods;
  for (const auto& method : copy.get_methods()) {
    torch::jit::Inline(*method.graph());
    torch::jit::InlineForkWait(method.graph());
    methods.push_back(method.name());
  }
  insert_constants(copy);
  return torch::jit::freeze_module(copy, methods);
}

std::string listed(const std::vector<MigrationRow>& rows) {
  std::ostringstream text;
  for (const MigrationRow& row : rows) {
    if (row.verdict != Verdict::KEPT) continue;
    text << "\n  " << row.method << " %" << row.node << " " << row.op;
    if (!row.source.empty()) text << " (" << row.source << ")";
    text << ": " << row.reason;
  }
  return text.str();
}

// torch warns about each quantized tensor that reading old weights makes.
struct NoWarnings : c10::WarningHandler {
  void process(const c10::Warning& /*warning*/) override {}
};

// The error message. torch quotes the file, and bytes that are not text would break the message.
std::string reason(const std::exception& error) {
  const auto* known = dynamic_cast<const c10::Error*>(&error);
  std::string text = known ? known->what_without_backtrace() : error.what();
  std::replace_if(
      text.begin(), text.end(), [](char c) { return c != '\n' && (c < ' ' || c > '~'); }, '?');
  return text;
}

}  // namespace

Migration run(const Module& module, const MigrateOptions& options) {
  const auto dtype = options.dynamic_dtype.value_or(at::kChar);
  TORCH_CHECK(dtype == at::kChar || dtype == at::kHalf,
              "qnative::migrate: dynamic_dtype must be Char or Half, got ", dtype);
  NoWarnings none;
  const c10::WarningUtils::WarningHandlerGuard quiet(&none);
  const at::NoGradGuard no_grad;
  Migration result{frozen(module), {}, std::nullopt};
  for (const auto& method : result.module.get_methods()) {
    try {
      Rewriter(method.name(), method.graph(), options, result.rows).run();
    } catch (const Unsupported& error) {
      TORCH_CHECK(false, "qnative::migrate: ", method.name(),
                  " cannot be moved, not even in part: ", error.what());
    }
  }
  find_what_is_left(result.module, "", result.rows);
  if (options.inputs && (result.complete() || options.allow_partial)) {
    Module before = module.clone();
    before.eval();
    result.difference = compare(before, result.module, *options.inputs);
  }
  return result;
}

void check_complete(const Migration& result, const std::string& what) {
  TORCH_CHECK(result.complete(), "qnative::migrate: ", what,
              " has nodes that cannot be moved:", listed(result.rows));
}

Module load(const std::string& path) {
  TORCH_CHECK(std::filesystem::is_regular_file(path), "qnative::migrate: there is no file ", path);
  try {
    return torch::jit::load(path);
  } catch (const std::exception& error) {
    TORCH_CHECK(false, "qnative::migrate: ", path,
                " cannot be read as a TorchScript file: ", reason(error));
  }
}

void save(const Module& module, const std::string& path) {
  try {
    Replacement file(path);
    torch::jit::ExportModule(module, [&](const void* data, size_t size) {
      file.write(data, size);
      return size;
    });
    file.commit();
  } catch (const std::exception& error) {
    TORCH_CHECK(false, "qnative::migrate: ", path, " cannot be written: ", reason(error));
  }
}

}  // namespace migration

const char* toString(MigrationVerdict verdict) {
  switch (verdict) {
    case MigrationVerdict::MOVED:
      return "moved";
    case MigrationVerdict::FLOAT:
      return "float";
    case MigrationVerdict::KEPT:
      return "kept";
  }
  return "unknown";
}

bool Migration::complete() const { return !migration::any_kept(rows); }

Migration migrate(const torch::jit::Module& module, const MigrateOptions& options) {
  Migration result = migration::run(module, options);
  if (!options.allow_partial) migration::check_complete(result, "the module");
  return result;
}

Migration migrate(const std::string& path, const std::string& new_path,
                  const MigrateOptions& options) {
  const torch::jit::Module module = migration::load(path);
  Migration result = [&] {
    try {
      return migration::run(module, options);
    } catch (const c10::Error& error) {
      TORCH_CHECK(false, path, ": ", error.what_without_backtrace());
    }
  }();
  if (!options.allow_partial) migration::check_complete(result, path);
  migration::save(result.module, new_path);
  return result;
}

}  // namespace qnative
