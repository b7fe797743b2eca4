#include "common/layout.h"

namespace qnative::ops {
namespace {

template <class Int>
Dims<Int> broadcast_sizes(const char* op, at::TensorList operands) {
  c10::SmallVector<at::ArrayRef<Int>, 4> shapes;
  for (const at::Tensor& operand : operands) shapes.push_back(at::symint::sizes<Int>(operand));
  return broadcast_shapes<Int>(op, shapes);
}

// Strides of `operand` in the broadcast shape, 0 where it is expanded.
template <class Int>
Dims<Int> broadcast_strides(const at::Tensor& operand, at::ArrayRef<Int> sizes) {
  const at::ArrayRef<Int> own = at::symint::sizes<Int>(operand);
  const at::ArrayRef<Int> strides = at::symint::strides<Int>(operand);
  const size_t offset = sizes.size() - own.size();
  Dims<Int> result(sizes.size(), Int(0));
  for (size_t i = 0; i < own.size(); ++i) {
    const bool expanded = own[i] == 1 && sizes[offset + i] != 1;
    result[offset + i] = expanded ? Int(0) : strides[i];
  }
  return result;
}

// < 0 when dimension i varies faster than j, > 0 when slower, 0 when the operands do not tell.
template <class Int>
int compare_dims(at::ArrayRef<Int> sizes, at::ArrayRef<Dims<Int>> strides, int64_t i, int64_t j) {
  for (const Dims<Int>& operand : strides) {
    if (operand[i] == 0 || operand[j] == 0) continue;
    if (operand[i] < operand[j]) return -1;
    if (operand[i] > operand[j]) return 1;
    if (sizes[i] > sizes[j]) return 1;
  }
  return 0;
}

// Strides of a dense tensor whose dimensions vary in `order`, the fastest first.
template <class Int>
Dims<Int> dense_strides(at::ArrayRef<Int> sizes, at::IntArrayRef order) {
  Dims<Int> strides(sizes.size(), Int(1));
  Int next = 1;
  for (int64_t dim : order) {
    strides[dim] = next;
    if (sizes[dim] != 0) next *= sizes[dim];
  }
  return strides;
}

template <class Predicate>
bool all(at::TensorList operands, const Predicate& predicate) {
  return std::all_of(operands.begin(), operands.end(), predicate);
}

}  // namespace

template <class Int>
Dims<Int> broadcast_shapes(const char* op, at::ArrayRef<at::ArrayRef<Int>> shapes) {
  Dims<Int> sizes;
  for (const at::ArrayRef<Int>& own : shapes) {
    if (own.size() > sizes.size()) sizes.insert(sizes.begin(), own.size() - sizes.size(), Int(1));
    const size_t offset = sizes.size() - own.size();
    for (size_t i = 0; i < own.size(); ++i) {
      if (sizes[offset + i] == 1) {
        sizes[offset + i] = own[i];
      } else {
        TORCH_CHECK(own[i] == 1 || own[i] == sizes[offset + i], "qnative::", op,
                    ": shapes do not broadcast: ", shapes.front(), " and ", own);
      }
    }
  }
  return sizes;
}

template <class Int>
Dims<int64_t> physical_order(at::ArrayRef<Int> sizes, at::ArrayRef<Dims<Int>> strides) {
  const int64_t rank = static_cast<int64_t>(sizes.size());
  Dims<int64_t> order(rank);
  for (int64_t i = 0; i < rank; ++i) order[i] = rank - 1 - i;
  // Insertion sort that goes on past dimensions it cannot compare.
  for (int64_t i = 1; i < rank; ++i) {
    int64_t moving = i;
    for (int64_t j = i - 1; j >= 0; --j) {
      const int comparison = compare_dims(sizes, strides, order[j], order[moving]);
      if (comparison < 0) break;
      if (comparison == 0) continue;
      std::swap(order[j], order[moving]);
      moving = j;
    }
  }
  return order;
}

template <class Int>
Layout<Int> elementwise_layout(const char* op, at::TensorList operands) {
  const at::Tensor& first = operands.front();
  const at::ArrayRef<Int> first_sizes = at::symint::sizes<Int>(first);
  const at::ArrayRef<Int> first_strides = at::symint::strides<Int>(first);
  const bool alike = all(operands, [&](const at::Tensor& operand) {
    return at::symint::sizes<Int>(operand).equals(first_sizes);
  });
  Layout<Int> layout;
  layout.sizes = alike ? Dims<Int>(first_sizes.begin(), first_sizes.end())
                       : broadcast_sizes<Int>(op, operands);
  const int64_t rank = static_cast<int64_t>(layout.sizes.size());
  if (alike && all(operands, [](const at::Tensor& x) { return x.is_contiguous(); })) {
    Dims<int64_t> order(rank);
    for (int64_t i = 0; i < rank; ++i) order[i] = rank - 1 - i;
    layout.strides = dense_strides<Int>(layout.sizes, order);
  } else if (alike && all(operands, [](const at::Tensor& x) {
               return x.is_contiguous(at::MemoryFormat::ChannelsLast);
             })) {
    layout.strides = dense_strides<Int>(layout.sizes, {1, 3, 2, 0});
  } else if (alike && all(operands, [&](const at::Tensor& x) {
               return x.is_non_overlapping_and_dense() &&
                      at::symint::strides<Int>(x).equals(first_strides);
             })) {
    layout.strides.assign(first_strides.begin(), first_strides.end());
  } else {
    c10::SmallVector<Dims<Int>, 2> strides;
    for (const at::Tensor& operand : operands) {
      strides.push_back(broadcast_strides<Int>(operand, layout.sizes));
    }
    layout.strides = dense_strides<Int>(layout.sizes, physical_order<Int>(layout.sizes, strides));
  }
  return layout;
}

c10::MaybeOwned<at::Tensor> with_layout_of(const at::Tensor& x, const at::Tensor& y) {
  // Strides may still differ in dimensions of size 1.
  const bool alike = (x.is_contiguous() && y.is_contiguous()) ||
                     (x.is_non_overlapping_and_dense() && x.strides().equals(y.strides())) ||
                     (x.is_contiguous(at::MemoryFormat::ChannelsLast) &&
                      y.is_contiguous(at::MemoryFormat::ChannelsLast));
  using Result = c10::MaybeOwned<at::Tensor>;
  if (alike) return Result::borrowed(x);
  at::Tensor copy = empty_strided(y.sizes(), y.strides(), x.scalar_type());
  copy.copy_(x);
  return Result::owned(std::move(copy));
}

template Dims<int64_t> broadcast_shapes<int64_t>(const char*, at::ArrayRef<at::IntArrayRef>);
template Dims<c10::SymInt> broadcast_shapes<c10::SymInt>(const char*,
                                                         at::ArrayRef<c10::SymIntArrayRef>);
template Dims<int64_t> physical_order(at::IntArrayRef, at::ArrayRef<Dims<int64_t>>);
template Dims<int64_t> physical_order(c10::SymIntArrayRef, at::ArrayRef<Dims<c10::SymInt>>);
template Layout<int64_t> elementwise_layout(const char*, at::TensorList);
template Layout<c10::SymInt> elementwise_layout(const char*, at::TensorList);

}  // namespace qnative::ops
