#pragma once

// The operators of qnative for C++ programs: one function for each schema of torch.ops.qnative, in
// a header for each family. qnative/types.h has the values that they take and an example.
//
// They run on CPU tensors and skip the dispatcher: nothing is recorded by autograd or jit.trace.
// Any number of threads may call them at the same time; a large call is shared out to at most
// at::get_num_threads() threads.
//
// Words and rules of all headers:
//   8-bit    dtype uint8 or int8. The real value of q is (q - zero_point) * scale.
//   x, y     a quantized tensor; x_scale, x_zero_point: its qparams.
//   rne      round half to even.
//
// Arithmetic: real results r are exact integers times one float32 multiplier (each function gives
// it), and y = clamp(rne(r / y_scale) + y_zero_point, lo, hi). [lo, hi] is the range of y's dtype,
// or narrower: a bound v of the activation becomes rne(float(v / y_scale)) + y_zero_point. As
// rounding is monotonic, that gives the bits of clamping the real value before it is quantized.
//
// Errors: c10::Error with the name of the op, what was wanted and what came, before memory of any
// tensor is touched. Tensors of zero elements are accepted wherever torch accepts them.

#include "qnative/ops/attention.h"
#include "qnative/ops/conv.h"
#include "qnative/ops/embedding.h"
#include "qnative/ops/fp16.h"
#include "qnative/ops/interpolate.h"
#include "qnative/ops/linear.h"
#include "qnative/ops/matmul.h"
#include "qnative/ops/norm.h"
#include "qnative/ops/pointwise.h"
#include "qnative/ops/pool.h"
#include "qnative/ops/quantize.h"
#include "qnative/ops/rnn.h"
#include "qnative/types.h"
