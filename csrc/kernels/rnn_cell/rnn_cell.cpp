#include "rnn_cell.h"

#include "kernel_table.h"

namespace qnative::rnn_cell {

QNATIVE_KERNELS(Fn, lstm_, QNATIVE_VECTOR_ISAS)
QNATIVE_KERNELS(Fn, gru_, QNATIVE_VECTOR_ISAS)
QNATIVE_KERNELS(Fn, rnn_tanh_, QNATIVE_VECTOR_ISAS)
QNATIVE_KERNELS(Fn, rnn_relu_, QNATIVE_VECTOR_ISAS)

}  // namespace qnative::rnn_cell
