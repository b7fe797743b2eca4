#pragma once

#include <optional>
#include <vector>

#include "weights.h"

// What the handlers of nodes from float to float share.
namespace qnative::migration {

// int8 values [N, K] with a scale for each row, or float ones that become float16.
struct LinearWeight {
  at::Tensor values;
  std::optional<at::Tensor> scale;
  std::optional<at::Tensor> bias;
};

LinearWeight unpacked_linear(const IValue& packed);

// weight, weight_scale (int8 only), bias, weight_shape of the ops.
std::vector<IValue> linear_constants(const LinearWeight& weight);

void check_products(int64_t k);

// Weights of a recurrent layer in torch's order: w_ih, w_hh (, w_hr) of each layer and direction,
// all int8 or all float; biases b_ih, b_hh, or none.
struct Recurrent {
  std::vector<LinearWeight> weights;
  std::vector<at::Tensor> biases;
};

// Replace a node by qnative::lstm, gru or a cell.
void emit_layer(CallSite& site, const std::string& op, const Recurrent& layer);
void emit_cell(CallSite& site, const std::string& op, const Recurrent& layer);

// Rows of numbers of 8 or 4 bits with scale and bias of each, as the ops read them.
at::Tensor make_table(const at::Tensor& bytes, const at::Tensor& scale, const at::Tensor& bias);

// A table of 4-bit rows does not tell how many numbers are in one.
struct Table {
  at::Tensor rows;
  std::optional<int64_t> embedding_dim;
};

void emit_embedding(CallSite& site, const Table& table);
void emit_embedding_bag(CallSite& site, const Table& table);

}  // namespace qnative::migration
