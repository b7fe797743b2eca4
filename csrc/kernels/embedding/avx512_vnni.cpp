#include "body.h"
#include "simd/avx512.h"

namespace qnative::embedding {

void rows_8bit_avx512_vnni(const Table& table, const int64_t* indices, int64_t n, float* y) {
  run_rows<Avx512, 8>(table, indices, n, y);
}

void rows_4bit_avx512_vnni(const Table& table, const int64_t* indices, int64_t n, float* y) {
  run_rows<Avx512, 4>(table, indices, n, y);
}

void bags_8bit_avx512_vnni(const Table& table, const Bags& bags, float* y) {
  run_bags<Avx512, 8>(table, bags, y);
}

void bags_4bit_avx512_vnni(const Table& table, const Bags& bags, float* y) {
  run_bags<Avx512, 4>(table, bags, y);
}

}  // namespace qnative::embedding
