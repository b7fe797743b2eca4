#include <algorithm>

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

// A call that gives a view of its first argument, or that tensor itself, by the layout of it alone.
// The dispatcher makes the first one.
class ViewCall final : public BoxedCall {
 public:
  ViewCall(c10::OperatorHandle op, std::vector<Argument> arguments, std::vector<Return> returns)
      : BoxedCall(std::move(op), std::move(arguments), returns),
        x_(arguments_[0].slot),
        y_(returns[0].slots[0]) {}

  static bool is_one(const c10::FunctionSchema& schema, const std::vector<Argument>& arguments,
                     const std::vector<Return>& returns) {
    if (schema.name().rfind("aten::", 0) != 0 || returns.size() != 1 || arguments.empty()) {
      return false;
    }
    const c10::AliasInfo* alias = schema.returns()[0].alias_info();
    const bool is_view = alias != nullptr && !alias->isWrite() && !returns[0].is_list &&
                         returns[0].slots.size() == 1 && returns[0].slots[0] != kNoSlot;
    return is_view && arguments[0].kind == Argument::Kind::kSlot &&
           schema.arguments()[0].alias_info() != nullptr &&
           std::all_of(arguments.begin() + 1, arguments.end(),
                       [](const Argument& each) { return each.is_constant(); });
  }

  bool sees_views() const override { return !is_plain_; }
  void need_no_view() override { is_plain_ = true; }

  void run(Frame& frame) const override {
    const IValue& value = frame[x_];
    if (!is_plain_ || !value.isTensor() || !program::is_plain(value.toTensor())) {
      return BoxedCall::run(frame);
    }
    const at::Tensor& x = value.toTensor();
    const auto index = static_cast<size_t>(y_);
    if (index >= frame.views.size()) frame.views.resize(frame.slots.size());
    View& view = frame.views[index];
    if (fits(view, x)) {
      frame[y_] = view_of(x, view);
    } else {
      BoxedCall::run(frame);
      view = read(x, frame[y_]);
    }
  }

 private:
  static bool fits(const View& view, const at::Tensor& x) {
    return view.is_known && x.device().is_cpu() && x.layout() == at::kStrided &&
           x.scalar_type() == view.dtype && x.sizes() == view.x_sizes &&
           x.strides() == view.x_strides;
  }

  static at::Tensor view_of(const at::Tensor& x, const View& view) {
    if (view.offset == 0 && view.sizes == view.x_sizes && view.strides == view.x_strides) return x;
    at::Tensor y = at::detail::make_tensor<c10::TensorImpl>(
        c10::TensorImpl::VIEW, c10::Storage(x.storage()), x.key_set(), x.dtype());
    y.unsafeGetTensorImpl()->set_storage_offset(x.storage_offset() + view.offset);
    y.unsafeGetTensorImpl()->set_sizes_and_strides(view.sizes, view.strides);
    return y;
  }

  // Not known where y is no view of x.
  static View read(const at::Tensor& x, const IValue& result) {
    View view;
    if (!result.isTensor() || !x.device().is_cpu() || x.layout() != at::kStrided) return view;
    const at::Tensor& y = result.toTensor();
    view.is_known = y.defined() && y.layout() == at::kStrided && program::is_plain(y) &&
                    y.scalar_type() == x.scalar_type() && y.is_alias_of(x);
    if (!view.is_known) return view;
    view.dtype = x.scalar_type();
    view.x_sizes = x.sizes();
    view.x_strides = x.strides();
    view.sizes = y.sizes();
    view.strides = y.strides();
    view.offset = y.storage_offset() - x.storage_offset();
    return view;
  }

  Slot x_, y_;
  bool is_plain_ = false;  // the result may be
};

}  // namespace

std::unique_ptr<Call> make_boxed_call(c10::OperatorHandle op, std::vector<Argument> arguments,
                                      std::vector<Return> returns) {
  if (ViewCall::is_one(op.schema(), arguments, returns)) {
    return std::make_unique<ViewCall>(std::move(op), std::move(arguments), std::move(returns));
  }
  return std::make_unique<BoxedCall>(std::move(op), std::move(arguments), std::move(returns));
}

}  // namespace qnative::program
