#include <algorithm>
#include <cmath>

#include "rewriter.h"

// Nodes that move, rename or measure data: the same nodes on 8-bit tensors.
namespace qnative::migration {
namespace {

bool is_tensors(const Value* value) {
  const auto type = value->type();
  if (type->kind() == c10::TypeKind::TensorType) return true;
  const auto list = type->cast<c10::ListType>();
  return list && list->getElementType()->kind() == c10::TypeKind::TensorType;
}

Quantized only_input(const CallSite& site) {
  std::optional<Quantized> found;
  for (Value* input : site.node()->inputs()) {
    if (const auto now = site.find(input)) {
      if (found && !now->same_qparams(*found)) {
        throw Unsupported("its inputs have different scales or zero points");
      }
      found = now;
    }
  }
  if (!found) throw Unsupported("its input is a list of tensors with different scales");
  return *found;
}

// Outputs have the scale and zero point of the input.
void move(CallSite& site) {
  Quantized x = only_input(site);
  Node* copy = site.clone_on_data();
  for (size_t i = 0; i < copy->outputs().size(); ++i) {
    x.data = copy->output(i);
    is_tensors(copy->output(i)) ? site.becomes(i, x) : site.becomes(i, copy->output(i));
  }
}

// The output is not a quantized tensor.
void measure(CallSite& site) {
  only_input(site);
  Node* copy = site.clone_on_data();
  for (size_t i = 0; i < copy->outputs().size(); ++i) site.becomes(i, copy->output(i));
}

// y[0] is a quantized tensor, y[1] are indices.
void select_with_indices(CallSite& site) {
  Quantized x = only_input(site);
  Node* copy = site.clone_on_data();
  x.data = copy->output(0);
  site.becomes(0, x);
  if (copy->outputs().size() > 1) site.becomes(1, copy->output(1));
}

// `to` with another dtype would dequantize or fail.
void to(CallSite& site) {
  if (site.has("dtype") && !site.constant("dtype").isNone()) {
    throw Unsupported("it changes the dtype of a quantized tensor");
  }
  if (site.has("other")) throw Unsupported("it takes the dtype of another tensor");
  move(site);
}

// The code of 0, or of the padding value.
int64_t padding_code(const CallSite& site, const Quantized& x) {
  if (site.constant("value").isNone()) return x.qparams.zero_point;
  const IntRange range = range_of(x.dtype);
  const double code = std::nearbyint(site.real("value") / x.qparams.scale) +
                      static_cast<double>(x.qparams.zero_point);
  return static_cast<int64_t>(
      std::clamp(code, static_cast<double>(range.min), static_cast<double>(range.max)));
}

void pad(CallSite& site) {
  if (site.has("mode") && site.constant("mode").toStringRef() != "constant") return move(site);
  const Quantized x = site.quantized("self");
  Value* y = site.call("aten::constant_pad_nd", {x.data, site.arg("pad"), padding_code(site, x)});
  site.becomes({y, x.qparams, x.dtype});
}

void int_repr(CallSite& site) {
  site.becomes(site.call("aten::clone", {site.quantized("self").data}));
}

void q_scale(CallSite& site) { site.becomes(site.insert(site.quantized("self").qparams.scale)); }

void q_zero_point(CallSite& site) {
  site.becomes(site.insert(site.quantized("self").qparams.zero_point));
}

void is_quantized(CallSite& site) { site.becomes(site.insert(true)); }

}  // namespace

const Handlers& data_handlers() {
  static const Handlers handlers = [] {
    Handlers all = {
        {"aten::to", to},
        {"aten::constant_pad_nd", pad},
        {"aten::pad", pad},
        {"aten::int_repr", int_repr},
        {"aten::q_scale", q_scale},
        {"aten::q_zero_point", q_zero_point},
        {"prim::is_quantized", is_quantized},
        {"aten::max_pool1d_with_indices", select_with_indices},
        {"aten::max_pool2d_with_indices", select_with_indices},
        {"aten::topk", select_with_indices},
        {"aten::sort", select_with_indices},
    };
    for (const char* name : {"reshape",
                             "view",
                             "flatten",
                             "unflatten",
                             "permute",
                             "transpose",
                             "t",
                             "contiguous",
                             "clone",
                             "detach",
                             "detach_",
                             "squeeze",
                             "squeeze_",
                             "unsqueeze",
                             "unsqueeze_",
                             "slice",
                             "select",
                             "narrow",
                             "expand",
                             "expand_as",
                             "repeat",
                             "chunk",
                             "split",
                             "split_with_sizes",
                             "unbind",
                             "flip",
                             "roll",
                             "movedim",
                             "moveaxis",
                             "swapaxes",
                             "index_select",
                             "index",
                             "gather",
                             "pixel_shuffle",
                             "pixel_unshuffle",
                             "channel_shuffle",
                             "alias",
                             "view_as",
                             "reshape_as",
                             "unfold",
                             "cpu",
                             "__getitem__",
                             "repeat_interleave",
                             "tile",
                             "stack",
                             "reflection_pad1d",
                             "reflection_pad2d",
                             "replication_pad1d",
                             "replication_pad2d"}) {
      all.emplace(std::string("aten::") + name, move);
    }
    for (const char* name : {"prim::ListUnpack", "prim::unchecked_cast", "prim::data"}) {
      all.emplace(name, move);
    }
    for (const char* name :
         {"size", "dim", "len", "numel", "stride", "is_contiguous", "__is__", "__isnot__",
          "is_floating_point", "storage_offset", "argmax", "argmin"}) {
      all.emplace(std::string("aten::") + name, measure);
    }
    for (const char* name : {"prim::device", "prim::layout", "prim::shape", "prim::is_cuda"}) {
      all.emplace(name, measure);
    }
    return all;
  }();
  return handlers;
}

}  // namespace qnative::migration
