#include "simd/avx2.h"

#include "body.h"
#include "simd/real_avx2.h"

namespace qnative::interpolate {

void row_avx2(const RowArgs& args, const uint8_t* x, float* wide, float* t) {
  run_row<Avx2, RealAvx2>(args, x, wide, t);
}

void column_avx2(const ColumnArgs& args, int64_t n, uint8_t* y) { run_column<Avx2>(args, n, y); }

void row_fp16_avx2(const RowArgs& args, const uint16_t* x, float* wide, float* t) {
  run_row_fp16<RealAvx2>(args, x, wide, t);
}

void column_fp16_avx2(const ColumnArgs& args, int64_t n, uint16_t* y) {
  run_column_fp16<Avx2, RealAvx2>(args, n, y);
}

}  // namespace qnative::interpolate
