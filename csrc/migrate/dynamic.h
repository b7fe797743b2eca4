#pragma once

#include <optional>
#include <vector>

#include "weights.h"

// Shared by the handlers of nodes with float inputs and outputs.
namespace qnative::migration {

// A packed linear layer of old, or a float weight [N, K] that becomes float16.
PackedWeight packed_linear(const IValue& packed);
PackedWeight half_weight(const at::Tensor& weight, const std::optional<at::Tensor>& bias = {});

// The arguments weight, weight_scale (int8 only), bias and weight_shape of the ops.
std::vector<IValue> linear_constants(const PackedWeight& weight);

void check_products(int64_t k);

// Weights of a recurrent layer in torch's order: w_ih, w_hh (, w_hr) of each layer and direction,
// all int8 or all float; biases b_ih, b_hh, or none.
struct Recurrent {
  std::vector<PackedWeight> weights;
  std::vector<at::Tensor> biases;
};

// Replace a node by qnative::lstm, gru or a cell.
void emit_layer(CallSite& site, const std::string& op, const Recurrent& layer);
void emit_cell(CallSite& site, const std::string& op, const Recurrent& layer);

// Rows of 8-bit or 4-bit numbers with scale and bias, in the layout of the ops.
at::Tensor make_table(const at::Tensor& bytes, const at::Tensor& scale, const at::Tensor& bias);

// A table of 4-bit rows does not say how many numbers a row has.
struct Table {
  at::Tensor rows;
  std::optional<int64_t> embedding_dim;
};

void emit_embedding(CallSite& site, const Table& table);
void emit_embedding_bag(CallSite& site, const Table& table);

}  // namespace qnative::migration
