#include "body.h"
#include "simd/avx512.h"
#include "simd/real_avx512.h"

namespace qnative::interpolate {

void row_avx512_vnni(const RowArgs& args, const uint8_t* x, float* wide, float* t) {
  run_row<Avx512, RealAvx512>(args, x, wide, t);
}

void column_avx512_vnni(const ColumnArgs& args, int64_t n, uint8_t* y) {
  run_column<Avx512>(args, n, y);
}

void row_fp16_avx512_vnni(const RowArgs& args, const uint16_t* x, float* wide, float* t) {
  run_row_fp16<RealAvx512>(args, x, wide, t);
}

void column_fp16_avx512_vnni(const ColumnArgs& args, int64_t n, uint16_t* y) {
  run_column_fp16<Avx512, RealAvx512>(args, n, y);
}

}  // namespace qnative::interpolate
