#include "calls.h"
#include "error.h"

namespace qnative::program {
namespace {

using c10::IValue;

class BoxedCall : public Call {
 public:
  BoxedCall(c10::OperatorHandle op, std::vector<Argument> arguments, std::vector<Return> returns)
      : Call(std::move(arguments)), op_(std::move(op)), returns_(std::move(returns)) {}

  void run(Frame& frame) const override {
    frame.stack.clear();
    for (const Argument& argument : arguments_) frame.stack.push_back(argument.value(frame));
    op_.callBoxed(frame.stack);
    if (frame.stack.size() != returns_.size()) {
      fail("wanted ", returns_.size(), " results, got ", frame.stack.size());
    }
    for (size_t i = 0; i < returns_.size(); ++i) store(returns_[i], frame.stack[i], frame);
  }

 private:
  static void store(const Return& to, IValue& value, Frame& frame) {
    if (!to.is_list) {
      if (!to.slots.empty()) frame[to.slots[0]] = std::move(value);
      return;
    }
    const c10::List<IValue> list = value.toList();
    if (list.size() != to.slots.size()) {
      fail("wanted a list of ", to.slots.size(), " tensors, got ", list.size());
    }
    for (size_t i = 0; i < to.slots.size(); ++i) frame[to.slots[i]] = list.get(i);
  }

  c10::OperatorHandle op_;
  std::vector<Return> returns_;
};

}  // namespace

std::unique_ptr<Call> make_boxed_call(c10::OperatorHandle op, std::vector<Argument> arguments,
                                      std::vector<Return> returns) {
  return std::make_unique<BoxedCall>(std::move(op), std::move(arguments), std::move(returns));
}

}  // namespace qnative::program
