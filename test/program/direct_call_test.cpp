#include <ATen/core/dispatch/Dispatcher.h>
#include <gtest/gtest.h>

#include "calls.h"

namespace qnative::program {
namespace {

// Operators for the time before a program is saved.
bool is_tool(const std::string& name) {
  return name.find("_pack") != std::string::npos || name.find("_unpack") != std::string::npos;
}

// Arguments that the table could hold: constants of their types.
std::vector<Argument> constants(const c10::FunctionSchema& schema) {
  std::vector<Argument> arguments;
  for (const c10::Argument& each : schema.arguments()) {
    Argument argument;
    const std::string type = each.type()->str();
    if (type == "Tensor" || type == "Tensor?") argument.constant = at::empty({0});
    if (type == "Tensor[]") argument.constant = std::vector<at::Tensor>();
    if (type == "int" || type == "SymInt") argument.constant = int64_t{1};
    if (type == "int[]" || type == "SymInt[]") argument.constant = std::vector<int64_t>();
    if (type == "float") argument.constant = 1.0;
    if (type == "float[]") argument.constant = std::vector<double>();
    if (type == "bool") argument.constant = true;
    if (type == "str") argument.constant = "none";
    if (each.type()->kind() == c10::TypeKind::IntType) argument.constant = int64_t{1};
    arguments.push_back(std::move(argument));
  }
  return arguments;
}

TEST(DirectCall, HasARowForEachOperator) {
  int found = 0;
  for (const c10::OperatorName& name : c10::Dispatcher::singleton().getAllOpNames()) {
    if (name.name.rfind("qnative::", 0) != 0 || is_tool(name.name)) continue;
    const auto op = c10::Dispatcher::singleton().findSchemaOrThrow(name.name.c_str(),
                                                                   name.overload_name.c_str());
    Slot slot = 0;
    std::vector<Return> returns;
    for (size_t i = 0; i < op.schema().returns().size(); ++i) returns.push_back({{slot++}, false});
    EXPECT_NE(make_direct_call(op, constants(op.schema()), returns), nullptr) << name;
    ++found;
  }
  EXPECT_GT(found, 50);
}

TEST(DirectCall, LeavesOthersToTheDispatcher) {
  const auto relu = c10::Dispatcher::singleton().findSchemaOrThrow("aten::relu", "");
  EXPECT_EQ(make_direct_call(relu, constants(relu.schema()), {{{0}, false}}), nullptr);
  const auto lookup = c10::Dispatcher::singleton().findSchemaOrThrow("qnative::lookup", "");
  EXPECT_EQ(make_direct_call(lookup, constants(lookup.schema()), {{{0, 1}, true}}), nullptr);
}

}  // namespace
}  // namespace qnative::program
