#include "gemm.h"
#include "layout.h"
#include "simd/intrinsics_avx512.h"
#include "simd/tiles.h"
#include "simd/unroll.h"
#include "start_avx512.h"
#include "store_avx512.h"

// What:     uint8 x int8 products by tdpbusd: 16 groups of four k, 16 rows and 16 columns per
//           instruction.
// Limits:   eight tiles: four sums, two of x, two of weights. Sums reach vectors only through
//           memory.
// Strategy: two tiles of rows by two of columns, or one by four. While a block of tiles is
//           multiplied, the block before it is requantized in pieces. Few rows, short rows and
//           small products go to avx512_vnni.cpp (tiles_pay).
// Source:   Intel 64 and IA-32 Architectures Optimization Reference Manual, chapter on AMX.
namespace qnative::gemm {

Fn avx512_vnni;

namespace {

constexpr int64_t kMaxGroups = kTileRows;  // of a step
// Segments of x with fewer groups in a step are copied first, and so are shorter runs of rows.
constexpr int64_t kMinGroups = 12;
constexpr int64_t kMinRun = 12;
constexpr int64_t kCachedWeights = 1024 * 1024;  // bytes that stay in the L2 cache
constexpr int64_t kCachedOutput = 1024 * 1024;   // bytes; a larger y is prefetched
// Smaller products do not repay setting up tiles, and fewer columns do not repay a copy of x.
constexpr int64_t kMinTileRows = 4, kMinTileRow = 40, kMinTileProducts = 300'000;
constexpr int64_t kMinCopyColumns = 48;

using FinishFn = void(const Args& args, const int32_t* sums, int64_t m, int64_t n, int64_t columns);

template <int kColumnTiles, int kRows>
void finish(const Args& args, const int32_t* sums, int64_t m, int64_t n, int64_t columns) {
  __m512i acc[kRows][kColumnTiles];
  unroll<kColumnTiles>([&](auto j) __attribute__((always_inline)) {
    const __m512i start = _mm512_loadu_si512(args.start + n + 16 * j);
    unroll<kRows>([&](auto i) __attribute__((always_inline)) {
      acc[i][j] = _mm512_add_epi32(start, _mm512_load_si512(sums + (i * kColumnTiles + j) * 16));
    });
  });
  add_row_terms(args, acc, m, n);
  store(args, acc, m, n, columns);
}

// Rows that are finished at a time: as many sums as registers hold.
constexpr int finish_rows(int wide) { return wide <= 2 ? 8 : 4; }

// [rows - 1].
template <int kColumnTiles, int... kRows>
FinishFn* const* finish_table(std::integer_sequence<int, kRows...>) {
  static constexpr FinishFn* kTable[] = {finish<kColumnTiles, kRows + 1>...};
  return kTable;
}

// The sums of a block of tiles, requantized while the next block is multiplied.
struct Sums {
  FinishFn* const* finish;
  int64_t max_rows;
  const int32_t* next;  // [tile][row][row_size]
  int64_t row_size;
  int64_t tile, tiles;   // the next one to finish, and their number
  int64_t row;           // the next one of that tile
  int64_t m[kSumTiles];  // first row of each tile
  int64_t n, columns;
};

[[gnu::always_inline]] inline __mmask64 first_bytes(int64_t count) {
  return count >= 64 ? ~__mmask64{0} : (__mmask64{1} << count) - 1;
}

// Copies rows of the product, the segments of each side by side. Writes up to 63 bytes more.
void copy_rows(const Args& args, int64_t m, int64_t count, uint8_t* to, int64_t stride) {
  const int64_t size = round_up(args.segment_size, kGroup);
  const int64_t whole = size / 64 * 64;
  const __mmask64 rest = first_bytes(size - whole);
  for (int64_t i = 0; i < count; ++i) {
    const uint8_t* row = x_row(args, m + i);
    uint8_t* at = to + i * stride;
    for (int64_t s = 0; s < args.segments; ++s, at += size) {
      const uint8_t* from = row + args.segment_offset[s];
      for (int64_t k = 0; k < whole; k += 64) {
        _mm512_storeu_si512(at + k, _mm512_loadu_si512(from + k));
      }
      if (rest != 0) _mm512_storeu_si512(at + whole, _mm512_maskz_loadu_epi8(rest, from + whole));
    }
  }
}

// The largest step, in groups, that divides `groups`.
int64_t even_step(int64_t groups) {
  const auto n = static_cast<uint32_t>(groups);  // < 2^31: their products are summed in int32
  uint32_t step = kMaxGroups;
  while (n % step != 0) --step;
  return step;
}

// Whether tiles can be loaded from the segments of x as they are.
bool has_even_segments(const Args& args) {
  return args.segments == 1 ||
         (args.segment_size % kGroup == 0 && even_step(args.segment_size / kGroup) >= kMinGroups);
}

// One call. The groups of a row are cut into equal steps; if those were too many, the last step is
// a copy of the last groups, with zeros for the groups of the step before. Tiles of equal height
// cover runs of rows that are equally far apart; the last tile of a run ends with the run and
// repeats rows of the tile before.
class TileProduct {
 public:
  TileProduct(const Args& args, int64_t m_begin, int64_t m_end, std::byte* scratch)
      : args_(args),
        m_begin_(m_begin),
        run_(m_end - m_begin),
        size_(row_size(args)),
        panel_(panel_stride(args)) {
    choose_rows(m_end - m_begin);
    choose_steps();
    run_tiles_ = ceil_div(run_, kTileRows);
    height_ = ceil_div(run_, run_tiles_);
    tiles_ = (m_end - m_begin) / run_ * run_tiles_;
    sums_ = reinterpret_cast<int32_t*>(scratch);
    last_ = reinterpret_cast<uint8_t*>(scratch) + kTileSumBytes;
    block_ = tile_block(args, m_end - m_begin) / kTileRows;
    copy_ = last_ + block_ * kTileRows * kTileBytes;
    pending_.tile = pending_.tiles = 0;
    pending_.max_rows = 1;
  }

  void run(int64_t n_begin, int64_t n_end) {
    // Weights that stay in the L2 cache may be read again for every two tiles.
    const int64_t max_tiles = (n_end - n_begin) * size_ <= kCachedWeights ? 2 : block_;
    configure_tiles(height_, step_ / kGroup);
    int64_t tile = 0;
    for (int64_t blocks = ceil_div(tiles_, max_tiles); blocks > 0; --blocks) {
      const int64_t even_end = tile + round_up(ceil_div(tiles_ - tile, blocks), 2);
      const int64_t end = even_end < tiles_ ? even_end : tiles_;
      prepare(tile, end);
      if (end - tile == 1) {
        sweep<1, 4>(tile, end, n_begin, n_end);
      } else {
        sweep<2, 2>(tile, end, n_begin, n_end);
      }
      tile = end;
    }
    while (pending_.tile < pending_.tiles) finish_some();
    release_tiles();
  }

 private:
  // Decides whether tiles are loaded from x itself, and in which runs of rows.
  void choose_rows(int64_t rows) {
    in_place_ = has_even_segments(args_);
    stride_ = args_.x_stride;
    if (!in_place_ || args_.row_offset == nullptr) return;
    const int64_t* offset = args_.row_offset + m_begin_;
    const auto distance = [&](int64_t i) { return offset[i] - offset[i - 1]; };
    stride_ = rows > 1 ? distance(1) : 0;
    int64_t run = 1;
    while (run < rows && distance(run) == stride_) ++run;
    in_place_ = rows % run == 0 && (run >= kMinRun || run == rows);
    for (int64_t i = run; in_place_ && i < rows; ++i) {
      in_place_ = i % run == 0 || distance(i) == stride_;
    }
    if (in_place_) run_ = run;
  }

  void choose_steps() {
    segments_ = in_place_ ? args_.segments : 1;
    const int64_t groups = size_ / segments_ / kGroup;
    const int64_t min_steps = ceil_div(groups, kMaxGroups);
    step_ = kGroup * even_step(groups);
    has_last_ = groups * kGroup > (min_steps + min_steps / 4) * step_;
    if (has_last_) step_ = kGroup * kMaxGroups;
  }

  // First row of a tile, counted from m_begin.
  int64_t row_of(int64_t tile) const {
    const int64_t run = tile / run_tiles_;
    const int64_t row = (tile - run * run_tiles_) * height_;
    return run * run_ + (row + height_ <= run_ ? row : run_ - height_);
  }

  void prepare(int64_t tile, int64_t end) {
    first_ = row_of(tile);
    const int64_t count = row_of(end - 1) + height_ - first_;
    if (!in_place_) {
      stride_ = tile_row_stride(args_);
      copy_rows(args_, m_begin_ + first_, count, copy_, stride_);
    }
    if (has_last_) copy_last(tile, end);
  }

  const uint8_t* x_of(int64_t tile) const {
    const int64_t row = row_of(tile);
    return in_place_ ? x_row(args_, m_begin_ + row) : copy_ + (row - first_) * stride_;
  }

  void copy_last(int64_t tile, int64_t end) {
    const int64_t begin = size_ - kTileBytes + (in_place_ ? args_.segment_offset[0] : 0);
    const __mmask64 mask = ~first_bytes(kTileBytes - size_ % kTileBytes);
    uint8_t* to = last_;
    for (; tile < end; ++tile) {
      const uint8_t* x = x_of(tile) + begin;
      for (int64_t i = 0; i < height_; ++i, x += stride_, to += kTileBytes) {
        _mm512_store_si512(to, _mm512_maskz_loadu_epi8(mask, x));
      }
    }
  }

  template <int kRowTiles, int kColumnTiles>
  void sweep(int64_t tile, int64_t end, int64_t n_begin, int64_t n_end) {
    for (int64_t n = n_begin; n < n_end; n += 16 * kColumnTiles) {
      const int64_t columns = n_end - n < 16 * kColumnTiles ? n_end - n : 16 * kColumnTiles;
      sweep_tiles<kRowTiles, kColumnTiles>(tile, end, n, columns);
    }
  }

  template <int kRowTiles, int kColumnTiles>
  void sweep_tiles(int64_t tile, int64_t end, int64_t n, int64_t columns) {
    if constexpr (kColumnTiles > 1) {
      if (columns <= 16 * (kColumnTiles - 1))
        return sweep_tiles<kRowTiles, kColumnTiles - 1>(tile, end, n, columns);
    }
    const uint8_t* last = last_;
    for (; tile + kRowTiles <= end; tile += kRowTiles, last += kRowTiles * height_ * kTileBytes) {
      multiply<kRowTiles, kColumnTiles>(tile, last, n, columns);
    }
    if (tile < end) multiply<1, kColumnTiles>(tile, last, n, columns);
  }

  template <int kRowTiles, int kColumnTiles>
  void multiply(int64_t tile, const uint8_t* last, int64_t n, int64_t columns) {
    const uint8_t* x[kRowTiles];
    unroll<kRowTiles>([&](auto i) __attribute__((always_inline)) {
      x[i] = x_of(tile + i);
      unroll<kColumnTiles>(
          [&](auto j) __attribute__((always_inline)) { zero_tile<i * kColumnTiles + j>(); });
    });
    unroll<kRowTiles>(
        [&](auto i) __attribute__((always_inline)) { prefetch_output(tile + i, n, columns); });
    const int8_t* w = args_.weight + n / kPanelColumns * panel_;
    // After each step a share of the block before, so that both end together.
    const int64_t pieces = pending_.tiles * ceil_div(height_, pending_.max_rows);
    const int64_t share = ceil_div(pieces, size_ / step_);
    const int64_t segment = size_ / segments_ / step_ * step_;
    for (int64_t s = 0; s < segments_; ++s) {
      int64_t k = in_place_ ? args_.segment_offset[s] : 0;
      for (const int64_t k_end = k + segment; k < k_end; k += step_) {
        step<kRowTiles, kColumnTiles>(x, k, stride_, w);
        w += step_ * kPanelColumns;
        for (int64_t i = 0; i < share; ++i) finish_some();
      }
    }
    if (has_last_) {
      unroll<kRowTiles>(
          [&](auto i) __attribute__((always_inline)) { x[i] = last + i * height_ * kTileBytes; });
      w += (size_ % kTileBytes - kTileBytes) * kPanelColumns;
      step<kRowTiles, kColumnTiles>(x, 0, kTileBytes, w);
    }
    while (pending_.tile < pending_.tiles) finish_some();
    keep<kRowTiles, kColumnTiles>(tile, n, columns);
  }

  template <int kRowTiles, int kColumnTiles>
  [[gnu::always_inline]] void step(const uint8_t* const (&x)[kRowTiles], int64_t k, int64_t stride,
                                   const int8_t* w) {
    unroll<kRowTiles>(
        [&](auto i) __attribute__((always_inline)) { load_tile<kXTile + i>(x[i] + k, stride); });
    unroll<kColumnTiles>([&](auto j) __attribute__((always_inline)) {
      constexpr int kWeight = kWeightTile + j % kWeightTiles;
      load_tile<kWeight>(w + panel_ * j, kTileBytes);
      unroll<kRowTiles>([&](auto i) __attribute__((always_inline)) {
        multiply_tiles<i * kColumnTiles + j, kXTile + i, kWeight>();
      });
    });
  }

  // Prefetches the lines that a tile will write. A large y is in no cache.
  void prefetch_output(int64_t tile, int64_t n, int64_t columns) const {
    const int64_t size = y_bytes(args_);
    const int64_t stride = args_.y_stride * size;
    if (run_ * tiles_ / run_tiles_ * stride < kCachedOutput) return;
    const uint8_t* y =
        static_cast<const uint8_t*>(args_.y) + (m_begin_ + row_of(tile)) * stride + n * size;
    for (int64_t i = 0; i < height_; ++i, y += stride) {
      __builtin_prefetch(y, 1);
      __builtin_prefetch(y + columns * size - 1, 1);
    }
  }

  template <int kRowTiles, int kColumnTiles>
  void keep(int64_t tile, int64_t n, int64_t columns) {
    constexpr int64_t kRowSize = 16 * kColumnTiles;
    unroll<kRowTiles>([&](auto i) __attribute__((always_inline)) {
      unroll<kColumnTiles>([&](auto j) __attribute__((always_inline)) {
        store_tile<i * kColumnTiles + j>(sums_ + i * height_ * kRowSize + 16 * j, 4 * kRowSize);
      });
      pending_.m[i] = m_begin_ + row_of(tile + i);
    });
    constexpr std::make_integer_sequence<int, finish_rows(kColumnTiles)> kRows;
    pending_.finish = finish_table<kColumnTiles>(kRows);
    pending_.max_rows = finish_rows(kColumnTiles);
    pending_.next = sums_;
    pending_.row_size = kRowSize;
    pending_.tiles = kRowTiles;
    pending_.tile = pending_.row = 0;
    pending_.n = n;
    pending_.columns = columns;
  }

  [[gnu::always_inline]] void finish_some() {
    Sums& sums = pending_;
    if (sums.tile == sums.tiles) return;
    const int64_t left = height_ - sums.row;
    const int64_t rows = left < sums.max_rows ? left : sums.max_rows;
    sums.finish[rows - 1](args_, sums.next, sums.m[sums.tile] + sums.row, sums.n, sums.columns);
    sums.next += rows * sums.row_size;
    sums.row += rows;
    if (sums.row < height_) return;
    sums.row = 0;
    ++sums.tile;
  }

  const Args& args_;
  const int64_t m_begin_;
  int64_t run_;  // rows
  const int64_t size_, panel_;
  bool in_place_, has_last_;
  int64_t stride_;
  int64_t segments_, step_;  // of a row as tiles read it; step_ in bytes
  int64_t run_tiles_, height_, tiles_, block_;
  int32_t* sums_;
  uint8_t* last_;
  uint8_t* copy_;
  int64_t first_;  // row of the block, from m_begin
  Sums pending_;
};

// Whether tiles repay their setup and, where needed, the copy of x.
bool tiles_pay(const Args& args, int64_t rows, int64_t columns) {
  const int64_t size = row_size(args);
  return rows >= kMinTileRows && size >= kMinTileRow && rows * columns * size >= kMinTileProducts &&
         (columns >= kMinCopyColumns || has_even_segments(args));
}

}  // namespace

// Tiles whatever the size: tests call it with products that are too small to pay.
Fn amx_int8_tiles;
void amx_int8_tiles(const Args& args, int64_t m_begin, int64_t m_end, int64_t n_begin,
                    int64_t n_end, std::byte* scratch) {
  n_end = n_end < args.n ? n_end : args.n;
  if (m_begin == m_end || n_begin >= n_end || row_size(args) == 0) {
    return avx512_vnni(args, m_begin, m_end, n_begin, n_end, scratch);
  }
  TileProduct(args, m_begin, m_end, scratch).run(n_begin, n_end);
}

Fn amx_int8;
void amx_int8(const Args& args, int64_t m_begin, int64_t m_end, int64_t n_begin, int64_t n_end,
              std::byte* scratch) {
  const bool pays = tiles_pay(args, m_end - m_begin, (n_end < args.n ? n_end : args.n) - n_begin);
  (pays ? amx_int8_tiles : avx512_vnni)(args, m_begin, m_end, n_begin, n_end, scratch);
}

}  // namespace qnative::gemm
