#include <array>
#include <tuple>
#include <utility>

#include "calls.h"
#include "error.h"
#include "qnative/planned.h"

// Calls of qnative's operators as the C++ functions that they are: arguments that are constants are
// converted when the program is loaded, and the dispatcher neither packs arguments nor looks for
// the implementation. One template makes a call of a signature; a table has one row for each
// operator.
namespace qnative::program {
namespace {

using c10::IValue;

using X = const at::Tensor&;
using MaybeX = const std::optional<at::Tensor>&;
using Xs = at::TensorList;
using Ints = at::IntArrayRef;
using MaybeInts = at::OptionalIntArrayRef;
using MaybeInt = std::optional<int64_t>;
using MaybeDouble = std::optional<double>;
using Doubles = at::ArrayRef<double>;
using MaybeDoubles = std::optional<at::ArrayRef<double>>;
using Text = std::string_view;
using Dtype = at::ScalarType;

// An argument of type T, held as the value that T refers to. get() may keep it in a Temporary.
struct NoTemporary {};

template <class T>
class Holder;

// An argument that must be a constant.
template <class T, class Held = T>
class Constant {
 public:
  using Temporary = NoTemporary;
  explicit Constant(Held value) : value_(std::move(value)) {}
  T get(const Frame&, Temporary&) const { return value_; }
  bool is_plain(const Frame&) const { return true; }

 private:
  Held value_;
};

template <>
class Holder<X> {
 public:
  using Temporary = NoTemporary;
  explicit Holder(const Argument& argument)
      : slot_(argument.slot),
        constant_(argument.constant.isTensor() ? argument.constant.toTensor() : at::Tensor()) {}
  X get(const Frame& frame, Temporary&) const {
    return slot_ == kNoSlot ? constant_ : frame[slot_].toTensor();
  }
  bool is_plain(const Frame& frame) const {
    return slot_ == kNoSlot || program::is_plain(frame[slot_].toTensor());
  }

 private:
  Slot slot_;
  at::Tensor constant_;
};

template <>
class Holder<MaybeX> {
 public:
  using Temporary = std::optional<at::Tensor>;
  explicit Holder(const Argument& argument) : slot_(argument.slot) {
    if (argument.constant.isTensor()) constant_ = argument.constant.toTensor();
  }
  MaybeX get(const Frame& frame, Temporary& temporary) const {
    if (slot_ == kNoSlot) return constant_;
    return temporary.emplace(frame[slot_].toTensor()), temporary;
  }
  bool is_plain(const Frame& frame) const {
    return slot_ == kNoSlot || program::is_plain(frame[slot_].toTensor());
  }

 private:
  Slot slot_;
  std::optional<at::Tensor> constant_;
};

template <>
class Holder<Xs> {
 public:
  using Temporary = std::vector<at::Tensor>;
  explicit Holder(const Argument& argument) {
    if (argument.is_constant()) {
      constant_ = argument.constant.toTensorVector();
    } else {
      elements_ = argument.elements;
    }
  }
  Xs get(const Frame& frame, Temporary& temporary) const {
    if (elements_.empty()) return constant_;
    for (const Argument& element : elements_) temporary.push_back(element.value(frame).toTensor());
    return temporary;
  }
  bool is_plain(const Frame& frame) const {
    for (const Argument& element : elements_) {
      if (!program::is_plain(element.value(frame).toTensor())) return false;
    }
    return true;
  }

 private:
  std::vector<at::Tensor> constant_;
  std::vector<Argument> elements_;
};

// Sizes may be computed by the program.
template <>
class Holder<int64_t> {
 public:
  using Temporary = NoTemporary;
  explicit Holder(const Argument& argument)
      : slot_(argument.slot),
        constant_(argument.constant.isInt() ? argument.constant.toInt() : 0) {}
  int64_t get(const Frame& frame, Temporary&) const {
    return slot_ == kNoSlot ? constant_ : frame[slot_].toInt();
  }
  bool is_plain(const Frame&) const { return true; }

 private:
  Slot slot_;
  int64_t constant_;
};

template <>
class Holder<Ints> {
 public:
  using Temporary = at::DimVector;
  explicit Holder(const Argument& argument) {
    if (argument.is_constant()) {
      constant_ = argument.constant.toDimVector();
    } else {
      elements_ = argument.elements;
    }
  }
  Ints get(const Frame& frame, Temporary& temporary) const {
    if (elements_.empty()) return constant_;
    for (const Argument& element : elements_) temporary.push_back(element.value(frame).toInt());
    return temporary;
  }
  bool is_plain(const Frame&) const { return true; }

 private:
  at::DimVector constant_;
  std::vector<Argument> elements_;
};

template <>
class Holder<MaybeInts> {
 public:
  using Temporary = at::DimVector;
  explicit Holder(const Argument& argument)
      : is_none_(argument.is_constant() && argument.constant.isNone()),
        ints_(is_none_ ? no_ints() : argument) {}
  MaybeInts get(const Frame& frame, Temporary& temporary) const {
    return is_none_ ? MaybeInts() : MaybeInts(ints_.get(frame, temporary));
  }
  bool is_plain(const Frame&) const { return true; }

 private:
  static Argument no_ints() {
    Argument none;
    none.constant = c10::List<int64_t>();
    return none;
  }

  bool is_none_;
  Holder<Ints> ints_;
};

template <>
class Holder<double> : public Constant<double> {
 public:
  explicit Holder(const Argument& a) : Constant(a.constant.toDouble()) {}
};
template <>
class Holder<bool> : public Constant<bool> {
 public:
  explicit Holder(const Argument& a) : Constant(a.constant.toBool()) {}
};
template <>
class Holder<Dtype> : public Constant<Dtype> {
 public:
  explicit Holder(const Argument& a) : Constant(a.constant.toScalarType()) {}
};
template <>
class Holder<Text> : public Constant<Text, std::string> {
 public:
  explicit Holder(const Argument& a) : Constant(a.constant.toStringRef()) {}
};
template <>
class Holder<MaybeInt> : public Constant<MaybeInt> {
 public:
  explicit Holder(const Argument& a) : Constant(a.constant.toOptional<int64_t>()) {}
};
template <>
class Holder<MaybeDouble> : public Constant<MaybeDouble> {
 public:
  explicit Holder(const Argument& a) : Constant(a.constant.toOptional<double>()) {}
};
template <>
class Holder<Doubles> : public Constant<Doubles, std::vector<double>> {
 public:
  explicit Holder(const Argument& a) : Constant(a.constant.toDoubleVector()) {}
};
template <>
class Holder<MaybeDoubles> : public Constant<MaybeDoubles, std::optional<std::vector<double>>> {
 public:
  explicit Holder(const Argument& a)
      : Constant(a.constant.isNone() ? std::nullopt : std::optional(a.constant.toDoubleVector())) {}
};

template <>
class Holder<std::optional<bool>> : public Constant<std::optional<bool>> {
 public:
  explicit Holder(const Argument& a) : Constant(a.constant.toOptional<bool>()) {}
};

// Which of these an argument may be: a constant, or a slot or list of slots.
template <class T>
constexpr bool kTakesSlots =
    std::is_same_v<T, X> || std::is_same_v<T, MaybeX> || std::is_same_v<T, Xs> ||
    std::is_same_v<T, int64_t> || std::is_same_v<T, Ints> || std::is_same_v<T, MaybeInts>;

template <class T>
bool fits(const Argument& argument) {
  using Kind = Argument::Kind;
  return argument.is_constant() ||
         (kTakesSlots<T> && (argument.kind == Kind::kSlot || argument.kind == Kind::kList));
}

// Adds an argument for plan_op(); false where it changes and is no tensor. `open`: slots of
// tensors.
template <class T>
bool leave_open(const Argument& argument, std::vector<IValue>& arguments, std::vector<Slot>& open) {
  if (argument.is_constant()) {
    arguments.push_back(argument.constant);
  } else if (std::is_same_v<T, X> || std::is_same_v<T, MaybeX>) {
    arguments.emplace_back(at::Tensor());
    open.push_back(argument.slot);
  } else if (std::is_same_v<T, Xs>) {
    std::vector<at::Tensor> tensors;
    for (const Argument& element : argument.elements) {
      const bool is_constant = element.is_constant();
      tensors.push_back(is_constant ? element.constant.toTensor() : at::Tensor());
      if (!is_constant) open.push_back(element.slot);
    }
    arguments.emplace_back(std::move(tensors));
  } else {
    return false;
  }
  return true;
}

void store(Frame& frame, const std::vector<Slot>& slots, at::Tensor result) {
  frame[slots[0]] = std::move(result);
}

template <class... T>
void store(Frame& frame, const std::vector<Slot>& slots, std::tuple<T...> results) {
  size_t i = 0;
  std::apply([&](auto&... result) { ((frame[slots[i++]] = std::move(result)), ...); }, results);
}

template <class Signature>
class DirectCall;

template <class R, class... A>
class DirectCall<R(A...)> : public Call {
 public:
  DirectCall(const c10::OperatorHandle& op, std::vector<Argument> arguments,
             std::vector<Slot> outputs)
      : DirectCall(op, std::move(arguments), std::move(outputs), std::index_sequence_for<A...>()) {}

  void run(Frame& frame) const override {
    if constexpr (std::is_same_v<R, at::Tensor>) {
      if (planned_ != nullptr && run_planned(frame)) return;
    }
    run(frame, std::index_sequence_for<A...>());
  }

  void plan() override {
    if constexpr (std::is_same_v<R, at::Tensor>) plan(std::index_sequence_for<A...>());
  }

  bool sees_views() const override { return false; }

  PlannedOp::Work work(const Frame& frame) const override {
    return planned_ == nullptr ? PlannedOp::Work{} : planned_->work(open_inputs(frame));
  }

  static bool takes(const std::vector<Argument>& arguments) {
    return takes(arguments, std::index_sequence_for<A...>());
  }

 private:
  template <size_t... i>
  DirectCall(const c10::OperatorHandle& op, std::vector<Argument> arguments,
             std::vector<Slot> outputs, std::index_sequence<i...>)
      : Call(std::move(arguments)),
        op_(op.typed<R(A...)>()),
        outputs_(std::move(outputs)),
        holders_(Holder<A>(arguments_[i])...) {}

  template <size_t... i>
  static bool takes(const std::vector<Argument>& arguments, std::index_sequence<i...>) {
    return arguments.size() == sizeof...(A) && (fits<A>(arguments[i]) && ...);
  }

  template <size_t... i>
  void plan(std::index_sequence<i...>) {
    std::vector<IValue> arguments;
    std::vector<Slot> open;
    if ((leave_open<A>(arguments_[i], arguments, open) && ...)) {
      planned_ = plan_op(c10::toString(op_.operator_name()), arguments);
      open_ = std::move(open);
    }
  }

  using Inputs = c10::SmallVector<const at::Tensor*, 4>;
  Inputs open_inputs(const Frame& frame) const {
    Inputs inputs;
    for (const Slot slot : open_) inputs.push_back(&frame[slot].toTensor());
    return inputs;
  }

  // Whether all open tensors are plain.
  bool run_planned(Frame& frame) const {
    const Inputs inputs = open_inputs(frame);
    for (const at::Tensor* input : inputs) {
      if (!program::is_plain(*input)) return false;
    }
    store(frame, outputs_, planned_->run(inputs));
    return true;
  }

  template <size_t... i>
  void run(Frame& frame, std::index_sequence<i...>) const {
    std::tuple<typename Holder<A>::Temporary...> temporaries;
    if ((std::get<i>(holders_).is_plain(frame) && ...)) {
      store(frame, outputs_,
            op_.redispatch(c10::DispatchKeySet(c10::DispatchKey::CPU),
                           std::get<i>(holders_).get(frame, std::get<i>(temporaries))...));
    } else {
      store(frame, outputs_,
            op_.call(std::get<i>(holders_).get(frame, std::get<i>(temporaries))...));
    }
  }

  c10::TypedOperatorHandle<R(A...)> op_;
  std::vector<Slot> outputs_;
  std::tuple<Holder<A>...> holders_;
  std::unique_ptr<PlannedOp> planned_;  // null: the arguments are not known, or there is no plan
  std::vector<Slot> open_;              // the tensors that it gets
};

using Make = std::unique_ptr<Call> (*)(const c10::OperatorHandle&, std::vector<Argument>,
                                       std::vector<Slot>);

template <class Signature>
std::unique_ptr<Call> make(const c10::OperatorHandle& op, std::vector<Argument> arguments,
                           std::vector<Slot> outputs) {
  if (!DirectCall<Signature>::takes(arguments)) return nullptr;
  return std::make_unique<DirectCall<Signature>>(op, std::move(arguments), std::move(outputs));
}

struct Row {
  std::string_view op;
  Make make;
};

// Groups of arguments that many operators share.
template <class... Before>
struct Then {
  // ..., y_scale, y_zero_point, y_dtype
  using Output = at::Tensor(Before..., double, int64_t, Dtype);
  // ..., y_scale, y_zero_point, y_dtype, activation, activation_args
  using Activation = at::Tensor(Before..., double, int64_t, Dtype, Text, Doubles);
};
using Two = std::tuple<at::Tensor, at::Tensor>;
using Three = std::tuple<at::Tensor, at::Tensor, at::Tensor>;

using Conv = Then<X, double, int64_t, X, X, MaybeX, Ints, Ints, Ints, Ints, int64_t>::Activation;
using ConvPadding =
    Then<X, double, int64_t, X, X, MaybeX, Ints, Ints, Text, Ints, int64_t>::Activation;
using ConvTranspose =
    Then<X, double, int64_t, X, X, MaybeX, Ints, Ints, Ints, Ints, Ints, int64_t>::Activation;
using ConvDynamic = at::Tensor(X, X, X, MaybeX, Ints, Ints, Ints, Ints, int64_t, Text, Doubles);
using ConvDynamicPadding = at::Tensor(X, X, X, MaybeX, Ints, Ints, Text, Ints, int64_t, Text,
                                      Doubles);
using ConvTransposeDynamic = at::Tensor(X, X, X, MaybeX, Ints, Ints, Ints, Ints, Ints, int64_t,
                                        Text, Doubles);
using MaxPool = at::Tensor(X, Ints, Ints, Ints, Ints, bool);
using AvgPool = Then<X, double, int64_t, Ints, Ints, Ints, bool, bool, MaybeInt>::Output;
using AdaptiveAvgPool = Then<X, double, int64_t, Ints>::Output;
using Cell = at::Tensor(X, MaybeX, Xs, Xs, Xs, int64_t, int64_t);

constexpr std::array kRows = {
    Row{"qnative::quantize_per_tensor",
        make<at::Tensor(X, double, int64_t, Dtype, MaybeInt, MaybeInt)>},
    Row{"qnative::dequantize_per_tensor", make<at::Tensor(X, double, int64_t)>},
    Row{"qnative::requantize", make<Then<X, double, int64_t>::Output>},
    Row{"qnative::quantize_per_channel",
        make<at::Tensor(X, X, X, int64_t, Dtype, MaybeInt, MaybeInt)>},
    Row{"qnative::dequantize_per_channel", make<at::Tensor(X, X, MaybeX, int64_t)>},
    Row{"qnative::choose_qparams", make<Two(X, Dtype, MaybeInt, MaybeInt, double, bool)>},
    Row{"qnative::linear", make<Then<X, double, int64_t, X, X, MaybeX, Ints>::Activation>},
    Row{"qnative::linear_dynamic",
        make<at::Tensor(X, X, X, MaybeX, Ints, Text, Doubles, MaybeInts)>},
    Row{"qnative::linear_dynamic_fp16", make<at::Tensor(X, X, MaybeX, Ints, Text, Doubles)>},
    Row{"qnative::linear_fp16", make<at::Tensor(X, X, MaybeX, Ints, Text, Doubles)>},
    Row{"qnative::linear_4bit", make<at::Tensor(X, X, MaybeX, Ints, int64_t, Text, Doubles)>},
    Row{"qnative::matmul", make<Then<X, double, int64_t, X, double, int64_t>::Activation>},
    Row{"qnative::matmul_fp16", make<at::Tensor(X, X, Text, Doubles)>},
    Row{"qnative::attention",
        make<at::Tensor(X, double, int64_t, X, double, int64_t, X, double, int64_t, double, int64_t,
                        Dtype, MaybeX, bool, MaybeDouble, bool)>},
    Row{"qnative::attention_dynamic", make<at::Tensor(X, X, X, MaybeX, bool, MaybeDouble, bool)>},
    Row{"qnative::conv1d", make<Conv>},
    Row{"qnative::conv2d", make<Conv>},
    Row{"qnative::conv3d", make<Conv>},
    Row{"qnative::conv1d.padding", make<ConvPadding>},
    Row{"qnative::conv2d.padding", make<ConvPadding>},
    Row{"qnative::conv3d.padding", make<ConvPadding>},
    Row{"qnative::conv_transpose1d", make<ConvTranspose>},
    Row{"qnative::conv_transpose2d", make<ConvTranspose>},
    Row{"qnative::conv_transpose3d", make<ConvTranspose>},
    Row{"qnative::conv1d_dynamic", make<ConvDynamic>},
    Row{"qnative::conv2d_dynamic", make<ConvDynamic>},
    Row{"qnative::conv3d_dynamic", make<ConvDynamic>},
    Row{"qnative::conv1d_dynamic.padding", make<ConvDynamicPadding>},
    Row{"qnative::conv2d_dynamic.padding", make<ConvDynamicPadding>},
    Row{"qnative::conv3d_dynamic.padding", make<ConvDynamicPadding>},
    Row{"qnative::conv_transpose1d_dynamic", make<ConvTransposeDynamic>},
    Row{"qnative::conv_transpose2d_dynamic", make<ConvTransposeDynamic>},
    Row{"qnative::conv_transpose3d_dynamic", make<ConvTransposeDynamic>},
    Row{"qnative::add", make<at::Tensor(X, double, int64_t, X, double, int64_t, double, int64_t,
                                        Dtype, Text, Doubles, double)>},
    Row{"qnative::mul", make<Then<X, double, int64_t, X, double, int64_t>::Activation>},
    Row{"qnative::cat", make<Then<Xs, Doubles, Ints, int64_t>::Output>},
    Row{"qnative::lookup", make<at::Tensor(X, X)>},
    Row{"qnative::prelu", make<Then<X, double, int64_t, X>::Output>},
    Row{"qnative::add_fp16", make<at::Tensor(X, X, Text, Doubles, double)>},
    Row{"qnative::mul_fp16", make<at::Tensor(X, X, Text, Doubles)>},
    Row{"qnative::pointwise_fp16", make<at::Tensor(X, Text, Doubles)>},
    Row{"qnative::max_pool1d", make<MaxPool>},
    Row{"qnative::max_pool2d", make<MaxPool>},
    Row{"qnative::max_pool3d", make<MaxPool>},
    Row{"qnative::avg_pool1d",
        make<Then<X, double, int64_t, Ints, Ints, Ints, bool, bool>::Output>},
    Row{"qnative::avg_pool2d", make<AvgPool>},
    Row{"qnative::avg_pool3d", make<AvgPool>},
    Row{"qnative::avg_pool1d_fp16", make<at::Tensor(X, Ints, Ints, Ints, bool, bool)>},
    Row{"qnative::avg_pool2d_fp16", make<at::Tensor(X, Ints, Ints, Ints, bool, bool, MaybeInt)>},
    Row{"qnative::avg_pool3d_fp16", make<at::Tensor(X, Ints, Ints, Ints, bool, bool, MaybeInt)>},
    Row{"qnative::adaptive_avg_pool1d", make<AdaptiveAvgPool>},
    Row{"qnative::adaptive_avg_pool2d", make<AdaptiveAvgPool>},
    Row{"qnative::adaptive_avg_pool3d", make<AdaptiveAvgPool>},
    Row{"qnative::adaptive_avg_pool1d_fp16", make<at::Tensor(X, Ints)>},
    Row{"qnative::adaptive_avg_pool2d_fp16", make<at::Tensor(X, Ints)>},
    Row{"qnative::adaptive_avg_pool3d_fp16", make<at::Tensor(X, Ints)>},
    Row{"qnative::mean", make<Then<X, double, int64_t, MaybeInts, bool>::Output>},
    Row{"qnative::mean_fp16", make<at::Tensor(X, MaybeInts, bool)>},
    Row{"qnative::interpolate",
        make<Then<X, double, int64_t, MaybeInts, MaybeDoubles, Text, std::optional<bool>>::Output>},
    Row{"qnative::interpolate_fp16",
        make<at::Tensor(X, MaybeInts, MaybeDoubles, Text, std::optional<bool>)>},
    Row{"qnative::layer_norm",
        make<Then<X, double, int64_t, Ints, MaybeX, MaybeX, double>::Output>},
    Row{"qnative::rms_norm", make<Then<X, double, int64_t, Ints, MaybeX, MaybeDouble>::Output>},
    Row{"qnative::group_norm",
        make<Then<X, double, int64_t, int64_t, MaybeX, MaybeX, double>::Output>},
    Row{"qnative::instance_norm",
        make<Then<X, double, int64_t, MaybeX, MaybeX, MaybeX, MaybeX, bool, double>::Output>},
    Row{"qnative::batch_norm",
        make<Then<X, double, int64_t, MaybeX, MaybeX, X, X, double>::Activation>},
    Row{"qnative::softmax", make<Then<X, double, int64_t, int64_t>::Output>},
    Row{"qnative::softmax_fp16", make<at::Tensor(X, int64_t)>},
    Row{"qnative::lstm",
        make<Three(X, MaybeX, MaybeX, Xs, Xs, Xs, int64_t, int64_t, int64_t, int64_t, bool, bool)>},
    Row{"qnative::lstm.data",
        make<Three(X, X, X, X, Xs, Xs, Xs, int64_t, int64_t, int64_t, int64_t, bool)>},
    Row{"qnative::gru", make<Two(X, MaybeX, Xs, Xs, Xs, int64_t, int64_t, int64_t, bool, bool)>},
    Row{"qnative::gru.data", make<Two(X, X, X, Xs, Xs, Xs, int64_t, int64_t, int64_t, bool)>},
    Row{"qnative::lstm_cell", make<Two(X, MaybeX, MaybeX, Xs, Xs, Xs, int64_t, int64_t)>},
    Row{"qnative::gru_cell", make<Cell>},
    Row{"qnative::rnn_tanh_cell", make<Cell>},
    Row{"qnative::rnn_relu_cell", make<Cell>},
    Row{"qnative::embedding_8bit", make<at::Tensor(X, X)>},
    Row{"qnative::embedding_4bit", make<at::Tensor(X, int64_t, X)>},
    Row{"qnative::embedding_bag_8bit",
        make<at::Tensor(X, X, MaybeX, int64_t, MaybeX, bool, MaybeInt)>},
    Row{"qnative::embedding_bag_4bit",
        make<at::Tensor(X, int64_t, X, MaybeX, int64_t, MaybeX, bool, MaybeInt)>},
};

}  // namespace

std::unique_ptr<Call> make_direct_call(const c10::OperatorHandle& op,
                                       const std::vector<Argument>& arguments,
                                       const std::vector<Return>& returns) {
  const c10::OperatorName& name = op.operator_name();
  const auto full = c10::toString(name);
  for (const Row& row : kRows) {
    if (row.op != full) continue;
    std::vector<Slot> outputs;
    for (const Return& result : returns) {
      if (result.is_list || result.slots.size() != 1) return nullptr;
      outputs.push_back(result.slots[0]);
    }
    return row.make(op, arguments, std::move(outputs));
  }
  return nullptr;
}

}  // namespace qnative::program
