// The one product that all arithmetic of the kernel is: a tile of up to NPRNN_TILE_ROWS rows times NPRNN_TILE_VECTORS
// vectors stays in registers while the sum runs, over weights packed into panels of that many vectors.
#pragma once

#include "simd.hpp"

namespace nprnn {
namespace {

constexpr int tile_rows = NPRNN_TILE_ROWS;
constexpr int tile_vectors = NPRNN_TILE_VECTORS;
// A single row has registers to spare: wider panels, so that a column's broadcast serves more.
constexpr int single_vectors = 8;
// Steps of the backward pass are gathered until there are so many rows, then folded into the gradients of the weights.
constexpr Size gathered_rows = 256;
constexpr Size second_level_cache = 1 << 20;

// Hands out pieces of scratch memory; from a null pointer it only counts.
class Scratch {
  public:
    explicit Scratch(void* memory) : start_(static_cast<char*>(memory)) {}
    template <class T>
    T* take(Size count) {
        char* piece = start_ + used_;
        used_ += (count * Size(sizeof(T)) + 63) / 64 * 64;
        return reinterpret_cast<T*>(piece);
    }
    Size used() const { return used_; }

  private:
    char* start_;
    Size used_ = 0;
};

// So many things cut into parts of at most `widest`, as equal as can be.
struct Parts {
    Size total, count, each, larger;  // the first `larger` parts have one more than `each`
    Parts(Size total_, Size widest)
        : total(total_),
          count((total_ + widest - 1) / widest),
          // Two divisions a step would be seen at batch 1.
          each(count > 1 ? total / count : total),
          larger(count > 1 ? total % count : 0) {}
    Size first(Size p) const { return p * each + (p < larger ? p : larger); }
    int size(Size p) const { return int(each + (p < larger)); }
};

// Line length of a row buffer; not a multiple of 1 kB, where lines would crowd into few sets of the cache.
template <class Real>
Size line(Size numbers) {
    Size padded = vectors<Real>(numbers) * lanes<Real>;
    return padded * Size(sizeof(Real)) % 1024 == 0 ? padded + lanes<Real> : padded;
}

// packed[k][n] = weight[n][k] (transposed) or weight[k][n], k < depth, n < width, in panels, padded with 0.
// Returns 0 if every number is finite and NaN if not.
template <class Real>
Real pack(const Real* weight, Size row, Size depth, Size width, bool transposed, const Parts& panels, Real* packed) {
    constexpr Size L = lanes<Real>;
    Vec<Real> check{};
    for (Size p = 0; p < panels.count; ++p) {
        const Size stride = panels.size(p) * L;
        for (Size v = 0; v < panels.size(p); ++v) {
            const Size n0 = (panels.first(p) + v) * L;
            const Size here = width - n0 < L ? width - n0 : L;
            Real* to = packed + v * L;
            for (Size k = 0; k < depth; ++k, to += stride) {
                if (transposed) {
                    for (Size n = 0; n < here; ++n) to[n] = weight[(n0 + n) * row + k];
                    for (Size n = here; n < L; ++n) to[n] = 0;
                    check += load(to) * Real(0);
                } else {
                    Vec<Real> w = load(weight + k * row + n0, Some<Real>(here));
                    store(to, w);
                    check += w * Real(0);
                }
            }
        }
        packed += depth * stride;
    }
    Real sum = 0;
    for (Size k = 0; k < L; ++k) sum += check[k];
    return sum;
}

// acc[r] += sum_k element(r, k) b[k], b a packed panel.
template <class Real, int R, int N, class Element>
NPRNN_INLINE void product(Vec<Real> (&acc)[R][N], Size depth, const Real* b, const Element& element) {
    for (Size k = 0; k < depth; ++k, b += N * lanes<Real>) {
        Vec<Real> w[N];
#pragma GCC unroll 8
        for (int n = 0; n < N; ++n) w[n] = load(b + n * lanes<Real>);
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) {
            const Real s = element(r, k);
#pragma GCC unroll 8
            for (int n = 0; n < N; ++n) acc[r][n] += s * w[n];
        }
    }
}

// acc[r] += sum_k a[r][k] b[k].
template <class Real, int R, int N>
NPRNN_INLINE void multiply(Vec<Real> (&acc)[R][N], const Real* const* a, Size depth, const Real* b) {
    const Real* rows[R];
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) rows[r] = a[r];
    product(acc, depth, b, [&](int r, Size k) __attribute__((always_inline)) { return rows[r][k]; });
}

// The numbers of a row that are not 0, and where they are.
template <class Real>
struct Sparse {
    std::int32_t* index;
    Real* value;
    Size count;

    void gather(const Real* row, Size length) {
        Size n = 0;
        Size k = 0;
#if defined(__AVX512F__)
        if constexpr (sizeof(Real) == 4) {
            __m512i place = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
            for (; k < length; k += 16, place = _mm512_add_epi32(place, _mm512_set1_epi32(16))) {
                const __m512 v = __m512(load(row + k, Some<Real>(length - k)));
                // Unordered: a NaN is kept, and found again in the result.
                const __mmask16 kept = _mm512_cmp_ps_mask(v, _mm512_setzero_ps(), _CMP_NEQ_UQ);
                _mm512_storeu_ps(value + n, _mm512_maskz_compress_ps(kept, v));
                _mm512_storeu_si512(index + n, _mm512_maskz_compress_epi32(kept, place));
                n += __builtin_popcount(kept);
            }
        }
#endif
        for (; k < length; ++k) {
            index[n] = std::int32_t(k);
            value[n] = row[k];
            n += row[k] != Real(0);
        }
        count = n;
    }
};

// acc += sum over the numbers kept of value * b[index].  Up to four vectors leave the adders waiting on themselves, so
// two sums run side by side.
template <class Real, int N>
NPRNN_INLINE void multiply_sparse(Vec<Real> (&acc)[N], const Sparse<Real>& a, const Real* b) {
    constexpr int chains = N <= 4 ? 2 : 1;
    const auto add = [&](Vec<Real>(&to)[N], Size q) __attribute__((always_inline)) {
        const Real* w = b + Size(a.index[q]) * (N * lanes<Real>);
        const Real s = a.value[q];
#pragma GCC unroll 8
        for (int n = 0; n < N; ++n) to[n] += s * load(w + n * lanes<Real>);
    };
    Vec<Real> second[N]{};
    Size q = 0;
    for (; q + chains <= a.count; q += chains) {
        add(acc, q);
        if constexpr (chains == 2) add(second, q + 1);
    }
    for (; q < a.count; ++q) add(acc, q);
    if constexpr (chains == 2)
        for (int n = 0; n < N; ++n) acc[n] += second[n];
}

// `multiply`, or for a single row of which only the numbers that are not 0 were gathered, `multiply_sparse`.
template <class Real, int R, int N>
NPRNN_INLINE void multiply(Vec<Real> (&acc)[R][N], const Sparse<Real>* sparse, const Real* const* a, Size depth,
                           const Real* b) {
    if constexpr (R == 1)
        if (sparse) return multiply_sparse<Real, N>(acc[0], *sparse, b);
    multiply<Real, R, N>(acc, a, depth, b);
}

// Calls body<R, N> with constants for the sizes of a tile: `body` is an object with a template method `tile`.
template <int R, int N, class Body>
NPRNN_INLINE void with_vectors(int vectors, Body& body) {
    if constexpr (N > 1)
        if (vectors < N) return with_vectors<R, N - 1>(vectors, body);
    body.template tile<R, N>();
}

template <int R, class Body>
NPRNN_INLINE void with_tile(int rows, int vectors, Body& body) {
    if constexpr (R > 1)
        if (rows < R) return with_tile<R - 1>(rows, vectors, body);
    with_vectors<R, tile_vectors>(vectors, body);
}

// Calls the body for every tile of `rows` rows.  While the packed weights stay in the second-level cache a block of rows
// meets all panels; larger ones are read once, each panel meeting all blocks.
template <class Real, class Body>
void tiles(Body& body, Size rows, const Parts& panels, Size depth, bool single) {
    const Parts blocks(rows, tile_rows);
    const auto tile = [&](Size b, Size q) {
        body.row = blocks.first(b);
        body.vector = panels.first(q);
        if (single)
            with_vectors<1, single_vectors>(panels.size(q), body);
        else
            with_tile<tile_rows>(blocks.size(b), panels.size(q), body);
    };
    if (depth * panels.total * NPRNN_VECTOR_BYTES <= second_level_cache / 2) {
        for (Size b = 0; b < blocks.count; ++b)
            for (Size q = 0; q < panels.count; ++q) tile(b, q);
    } else {
        for (Size q = 0; q < panels.count; ++q)
            for (Size b = 0; b < blocks.count; ++b) tile(b, q);
    }
}

}  // namespace
}  // namespace nprnn
