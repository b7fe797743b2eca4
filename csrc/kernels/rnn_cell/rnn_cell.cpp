#include "rnn_cell.h"

#include "kernel_table.h"

namespace qnative::rnn_cell {

QNATIVE_KERNELS(Fn, lstm)
QNATIVE_KERNELS(Fn, gru)
QNATIVE_KERNELS(Fn, rnn_tanh)
QNATIVE_KERNELS(Fn, rnn_relu)

}  // namespace qnative::rnn_cell
