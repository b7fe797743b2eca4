#include <torch/custom_class.h>
#include <torch/library.h>

#include "run.h"

// Functions for the Python package; not ops of models.
namespace qnative::migration {
namespace {

using c10::IValue;
using Row = std::tuple<std::string, std::string, std::string, std::string, std::string, std::string,
                       std::string>;

// (module, rows, {max, mean, elements} or {})
std::tuple<IValue, std::vector<Row>, std::vector<double>> run_any(
    const IValue& module, bool dynamic, std::optional<at::ScalarType> dynamic_dtype,
    const IValue& inputs) {
  TORCH_CHECK(module.isModule(), "qnative::migrate: wanted a ScriptModule, got ", module.tagKind());
  // The caller decides whether nodes may stay.
  MigrateOptions options{.dynamic = dynamic,
                         .dynamic_dtype = dynamic_dtype,
                         .allow_partial = true,
                         .inputs = std::nullopt};
  if (inputs.isTuple()) options.inputs = inputs.toTupleRef().elements().vec();
  const Migration result = run(module.toModule(), options);
  std::vector<Row> rows;
  rows.reserve(result.rows.size());
  for (const MigrationRow& row : result.rows) {
    rows.emplace_back(row.method, row.node, row.op, toString(row.verdict), row.kernel, row.reason,
                      row.source);
  }
  std::vector<double> difference;
  if (result.difference) {
    difference = {result.difference->max, result.difference->mean,
                  static_cast<double>(result.difference->elements)};
  }
  return {result.module._ivalue(), rows, difference};
}

IValue load_any(const std::string& path) { return load(path)._ivalue(); }

void save_any(const IValue& module, const std::string& path) { save(module.toModule(), path); }

TORCH_LIBRARY(qnative_migrate, m) {
  m.def("run", run_any);
  m.def("load", load_any);
  m.def("save", save_any);
}

}  // namespace
}  // namespace qnative::migration
