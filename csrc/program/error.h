#pragma once

#include <c10/util/Exception.h>

#include <string>

// Errors of the loader and of calls. Each layer puts in front of a message where it happened:
// "qnative::Program: model.pt2: node 'linear' (torch.ops.qnative.linear.default): ...".
namespace qnative::program {

template <typename... Message>
[[noreturn]] void fail(const Message&... message) {
  C10_THROW_ERROR(ValueError, c10::str(message...));
}

// Runs `action` and puts where() before the message of its exceptions.
template <class Where, class Action>
decltype(auto) within(const Where& where, const Action& action) {
  try {
    return action();
  } catch (const c10::Error& error) {
    fail(where(), ": ", error.what_without_backtrace());
  }
}

}  // namespace qnative::program
