#include "dynamic.h"
#include "qnative/ops.h"

// Tables of 8-bit and 4-bit rows.
namespace qnative::migration {
namespace {

at::Tensor column(const at::Tensor& values) {
  return values.to(at::kFloat).contiguous().view({-1, 1});
}

// The weight says how many bits it has: scripted modules have a branch for each.
Table table_of(const IValue& packed) {
  const at::Tensor q = call_unpacker("quantized::embedding_bag_unpack", packed)[0].toTensor();
  const at::Tensor scale = q.q_per_channel_scales();
  const at::Tensor bias = -q.q_per_channel_zero_points().to(at::kDouble) * scale.to(at::kDouble);
  Table table{make_table(q.int_repr().reshape({q.size(0), -1}), scale, bias), std::nullopt};
  if (q.scalar_type() == at::kQUInt4x2) table.embedding_dim = q.size(1);
  return table;
}

// Rows followed by scale and bias in float16. (8-bit rows have the layout of qnative.)
Table rowwise_table(const CallSite& site, const at::Tensor& rows) {
  if (site.kind().find("_4bit") == std::string::npos) return {rows, std::nullopt};
  const int64_t bytes = rows.size(1) - 4;
  const at::Tensor both = rows.slice(1, bytes).contiguous().view(at::kHalf);
  return {make_table(rows.slice(1, 0, bytes), both.select(1, 0), both.select(1, 1)), 2 * bytes};
}

void check_plain(const CallSite& site) {
  if (site.flag("pruned_weights")) throw Unsupported("its weights are pruned");
  if (site.has("compressed_indices_mapping") &&
      !site.constant("compressed_indices_mapping").isNone()) {
    throw Unsupported("it maps compressed indices");
  }
  if (site.has("mode") && site.integer("mode") != 0) {
    throw Unsupported("its mode is not sum, the only one that it computed");
  }
}

void embedding(CallSite& site) {
  check_plain(site);
  emit_embedding(site, table_of(site.constant("weight")));
}

void embedding_bag(CallSite& site) {
  check_plain(site);
  emit_embedding_bag(site, table_of(site.constant("weight")));
}

void embedding_bag_rowwise(CallSite& site) {
  check_plain(site);
  emit_embedding_bag(site, rowwise_table(site, site.constant("weight").toTensor()));
}

std::string op_name(const char* prefix, const Table& table) {
  return std::string(prefix) + (table.embedding_dim ? "_4bit" : "_8bit");
}

Args with_table(CallSite& site, const Table& table) {
  Args args{site.insert(table.rows)};
  if (table.embedding_dim) args.emplace_back(*table.embedding_dim);
  args.emplace_back(site.arg("indices"));
  return args;
}

}  // namespace

at::Tensor make_table(const at::Tensor& bytes, const at::Tensor& scale, const at::Tensor& bias) {
  const at::Tensor both = at::cat({column(scale), column(bias)}, 1);
  return at::cat({bytes, both.view(at::kByte)}, 1).contiguous();
}

void emit_embedding(CallSite& site, const Table& table) {
  site.becomes(site.call(op_name("qnative::embedding", table), with_table(site, table)));
}

void emit_embedding_bag(CallSite& site, const Table& table) {
  Args args = with_table(site, table);
  for (const char* name : {"offsets", "mode", "per_sample_weights", "include_last_offset"}) {
    args.emplace_back(site.arg(name));
  }
  if (site.has("padding_idx")) args.emplace_back(site.arg("padding_idx"));
  site.becomes(site.call(op_name("qnative::embedding_bag", table), args));
}

const Handlers& embedding_handlers() {
  static const Handlers handlers = {
      {"quantized::embedding_byte", embedding},
      {"quantized::embedding_4bit", embedding},
      {"quantized::embedding_bag_byte", embedding_bag},
      {"quantized::embedding_bag_4bit", embedding_bag},
      {"quantized::embedding_bag_byte_rowwise_offsets", embedding_bag_rowwise},
      {"quantized::embedding_bag_4bit_rowwise_offsets", embedding_bag_rowwise},
  };
  return handlers;
}

}  // namespace qnative::migration
