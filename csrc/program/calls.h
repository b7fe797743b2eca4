#pragma once

#include <ATen/core/dispatch/Dispatcher.h>

#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "graph.h"

// The kinds of calls that nodes make.
namespace qnative::program {

// Whether kernels see all of a tensor: no keys that wrap or change it.
inline bool is_plain(const at::Tensor& x) {
  constexpr c10::DispatchKeySet kSpecial(
      {c10::DispatchKey::Python, c10::DispatchKey::Functionalize, c10::DispatchKey::Conjugate,
       c10::DispatchKey::Negative, c10::DispatchKey::ZeroTensor, c10::DispatchKey::FuncTorchBatched,
       c10::DispatchKey::FuncTorchGradWrapper});
  return !x.key_set().has_any(kSpecial);
}

// A return of an operator: one value, a list of values, or nothing that the graph reads.
struct Return {
  std::vector<Slot> slots;  // kNoSlot: the value is dropped
  bool is_list = false;
};

// An operator of any library, through the dispatcher. Views of ATen are made without it, once they
// are known.
std::unique_ptr<Call> make_boxed_call(c10::OperatorHandle op, std::vector<Argument> arguments,
                                      std::vector<Return> returns);

// The same for operators of qnative, without packing; null for operators and arguments that it does
// not know.
std::unique_ptr<Call> make_direct_call(const c10::OperatorHandle& op,
                                       const std::vector<Argument>& arguments,
                                       const std::vector<Return>& returns);

// Python's arithmetic of symbols: "_operator.add", "torch.sym_max", "math.trunc" ... Null for
// targets that are none.
std::unique_ptr<Call> make_symbol_call(std::string_view target, std::vector<Argument> arguments,
                                       Slot output);

// cond(predicate, then, otherwise, operands): `arguments` are the predicate and the operands.
std::unique_ptr<Call> make_cond(std::vector<Argument> arguments, Graph then, Graph otherwise,
                                std::vector<Slot> outputs);

// while_loop: `arguments` are the carried values, then those that do not change.
std::unique_ptr<Call> make_while_loop(std::vector<Argument> arguments, size_t carried,
                                      Graph condition, Graph body, std::vector<Slot> outputs);

// scan: `arguments` are the carried values, the tensors whose rows the body gets one by one, and
// the values that do not change. map is the same without carried values.
std::unique_ptr<Call> make_scan(std::vector<Argument> arguments, size_t carried, size_t scanned,
                                Graph body, std::vector<Slot> outputs);

// torch.autocast("cpu", ...) as the model used it.
struct Autocast {
  bool is_enabled = false;
  bool has_cache = true;
  std::optional<at::ScalarType> dtype;  // none: the one that is set
};

// A graph that is called once.
std::unique_ptr<Call> make_graph_call(std::vector<Argument> arguments, Graph graph,
                                      std::vector<Slot> outputs,
                                      std::optional<Autocast> autocast = std::nullopt);

}  // namespace qnative::program
