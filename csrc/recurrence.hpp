// The time loop, forward and backward, for one unit of work: written once, compiled for every instruction set.
//
// All arithmetic is one register-blocked product: a tile of up to NPRNN_TILE_ROWS rows times NPRNN_TILE_VECTORS vectors
// stays in registers while the sum runs.  Weights are packed once a call into panels of that many vectors.
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

// acc[r] += sum_k a[r][k] b[k], b a packed panel.
template <class Real, int R, int N>
NPRNN_INLINE void multiply(Vec<Real> (&acc)[R][N], const Real* const* a, Size depth, const Real* b) {
    const Real* rows[R];
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) rows[r] = a[r];
    for (Size k = 0; k < depth; ++k, b += N * lanes<Real>) {
        Vec<Real> w[N];
#pragma GCC unroll 8
        for (int n = 0; n < N; ++n) w[n] = load(b + n * lanes<Real>);
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) {
            const Real s = rows[r][k];
#pragma GCC unroll 8
            for (int n = 0; n < N; ++n) acc[r][n] += s * w[n];
        }
    }
}

// acc[r] += sum_k a[k * line + r] b[k], b a packed panel.
template <class Real, int R, int N>
NPRNN_INLINE void multiply_columns(Vec<Real> (&acc)[R][N], const Real* a, Size line, Size depth, const Real* b) {
    for (Size k = 0; k < depth; ++k, a += line, b += N * lanes<Real>) {
        Vec<Real> w[N];
#pragma GCC unroll 8
        for (int n = 0; n < N; ++n) w[n] = load(b + n * lanes<Real>);
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) {
            const Real s = a[r];
#pragma GCC unroll 8
            for (int n = 0; n < N; ++n) acc[r][n] += s * w[n];
        }
    }
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
NPRNN_INLINE void multiply_sparse(Vec<Real> (&acc)[1][N], const Sparse<Real>& a, const Real* b) {
    constexpr int chains = N <= 4 ? 2 : 1;
    Vec<Real> second[N]{};
    Size q = 0;
    for (; q + chains <= a.count; q += chains) {
        const Real* w = b + Size(a.index[q]) * (N * lanes<Real>);
        const Real s = a.value[q];
#pragma GCC unroll 8
        for (int n = 0; n < N; ++n) acc[0][n] += s * load(w + n * lanes<Real>);
        if constexpr (chains == 2) {
            const Real* w2 = b + Size(a.index[q + 1]) * (N * lanes<Real>);
            const Real s2 = a.value[q + 1];
#pragma GCC unroll 8
            for (int n = 0; n < N; ++n) second[n] += s2 * load(w2 + n * lanes<Real>);
        }
    }
    for (; q < a.count; ++q) {
        const Real* w = b + Size(a.index[q]) * (N * lanes<Real>);
        const Real s = a.value[q];
#pragma GCC unroll 8
        for (int n = 0; n < N; ++n) acc[0][n] += s * load(w + n * lanes<Real>);
    }
    if constexpr (chains == 2)
        for (int n = 0; n < N; ++n) acc[0][n] += second[n];
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

// ---- forward --------------------------------------------------------------------------------------------------------

template <class Real>
struct ForwardStep {
    const Inputs<Real>& in;
    const Real* const* x;      // [rows]
    const Real* const* state;  // [rows]
    Real* const* next;         // [rows]
    Real* const* y;            // [rows]
    const Sparse<Real>* sparse;  // the only row's state, or null
    const Real* packed_ih;
    const Real* packed_hh;
    const Real* bias;
    Size row = 0;     // the tile's first row
    Size vector = 0;  // the tile's first vector

    // tanh, or linear units: rarer, or dear enough for a call not to matter.
    __attribute__((noinline)) Vec<Real> activate(Vec<Real> s, Size unit) const {
        Vec<Real> f = in.tanh ? hyperbolic_tangent<Real>(s) : s < Real(0) ? Vec<Real>{} : s;
        if (unit < in.linear) f = below<Real>(unit, in.linear) ? s : f;
        return f;
    }

    template <int R, int N>
    __attribute__((noinline)) void tile() {
        constexpr Size L = lanes<Real>;
        Vec<Real> acc[R][N];
        for (int n = 0; n < N; ++n) {
            const Vec<Real> b = load(bias + (vector + n) * L);
            for (int r = 0; r < R; ++r) acc[r][n] = b;
        }
        // Where the tile will be written is asked for now: it comes while the sums run.
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
            for (int n = 0; n < N; ++n) __builtin_prefetch(y[row + r] + (vector + n) * L, 1);
        multiply<Real, R, N>(acc, x + row, in.shape.inputs, packed_ih + vector * L * in.shape.inputs);
        const Real* b = packed_hh + vector * L * in.shape.hidden;
        if constexpr (R == 1) {
            if (sparse)
                multiply_sparse<Real, N>(acc, *sparse, b);
            else
                multiply<Real, R, N>(acc, state + row, in.shape.hidden, b);
        } else {
            multiply<Real, R, N>(acc, state + row, in.shape.hidden, b);
        }
#pragma GCC unroll 8
        for (int n = 0; n < N; ++n) {
            const Size unit = (vector + n) * L;
            const Some<Real> some(in.shape.hidden - unit);
            if (in.tanh || unit < in.linear) {
                for (int r = 0; r < R; ++r) acc[r][n] = activate(acc[r][n], unit);
            } else {
                // In this order a NaN stays one.
#pragma GCC unroll 8
                for (int r = 0; r < R; ++r) acc[r][n] = acc[r][n] < Real(0) ? Vec<Real>{} : acc[r][n];
            }
#pragma GCC unroll 8
            for (int r = 0; r < R; ++r) {
                store(next[row + r] + unit, acc[r][n]);
                store(y[row + r] + unit, acc[r][n], some);
            }
        }
    }
};

template <class Real>
struct ForwardBuffers {
    Real *packed_ih, *packed_hh, *bias;
    Real* state[2];
    Real** pointer[2];
    const Real** x;
    Real** y;
    Sparse<Real> sparse;
    bool* skip;  // whether a cell's units that are off may be left out
    Size used;

    ForwardBuffers(const Shape& shape, Size rows, void* memory) {
        Scratch scratch(memory);
        const Size width = vectors<Real>(shape.hidden) * lanes<Real>;
        packed_ih = scratch.take<Real>(shape.inputs * width);
        packed_hh = scratch.take<Real>(shape.hidden * width);
        bias = scratch.take<Real>(width);
        for (int k = 0; k < 2; ++k) {
            state[k] = scratch.take<Real>(rows * line<Real>(shape.hidden));
            pointer[k] = scratch.take<Real*>(rows);
        }
        x = scratch.take<const Real*>(rows);
        y = scratch.take<Real*>(rows);
        sparse.index = scratch.take<std::int32_t>(width + 16);
        sparse.value = scratch.take<Real>(width + 16);
        skip = scratch.take<bool>(1);
        used = scratch.used();
    }
};

// Packs the weights of a member; what it returns is 0 if all of W_hh are finite.
template <class Real>
Real pack_forward(const Inputs<Real>& in, Size e, const Parts& panels, const ForwardBuffers<Real>& m) {
    constexpr Size L = lanes<Real>;
    const Size hidden = in.shape.hidden;
    pack(in.weight_ih.data + e * in.weight_ih.member, in.weight_ih.row, in.shape.inputs, hidden, true, panels, m.packed_ih);
    for (Size v = 0; v < panels.total; ++v) {
        const Some<Real> some(hidden - v * L);
        store(m.bias + v * L, in.bias.data ? load(in.bias.data + e * in.bias.member + v * L, some) : Vec<Real>{});
    }
    if (!in.weight_hh.data) return 0;
    return pack(in.weight_hh.data + e * in.weight_hh.member, in.weight_hh.row, hidden, hidden, true, panels, m.packed_hh);
}

template <class Real>
Size forward_scratch(const Inputs<Real>& in, Size rows) {
    return ForwardBuffers<Real>(in.shape, rows, nullptr).used;
}

template <class Real>
void forward(const Forward<Real>& p, const Unit& unit, void* memory) {
    constexpr Size L = lanes<Real>;
    const Inputs<Real>& in = p.in;
    const Shape& shape = in.shape;
    const Size hidden = shape.hidden, e = unit.member;
    const bool single = unit.rows == 1;
    const Parts panels(vectors<Real>(hidden), single ? single_vectors : tile_vectors);
    ForwardBuffers<Real> m(shape, unit.rows, memory);

    // A unit that is off adds nothing, unless a weight is not finite: 0 * inf has to be seen.
    const bool skip = pack_forward(in, e, panels, m) == Real(0) && single && !in.tanh;
    for (Size r = 0; r < unit.rows; ++r) {
        const Size b = unit.row[r], start = in.reverse && unit.length[r] ? unit.length[r] - 1 : 0;
        for (int k = 0; k < 2; ++k) m.pointer[k][r] = m.state[k] + r * line<Real>(hidden);
        const Real* h0 = in.h0.data + e * in.h0.member + b * in.h0.row;
        for (Size v = 0; v < panels.total; ++v) store(m.pointer[0][r] + v * L, load(h0 + v * L, Some<Real>(hidden - v * L)));
        m.x[r] = in.x.data + e * in.x.member + b * in.x.row + start * in.x.step;
        m.y[r] = p.y.data + e * p.y.member + b * p.y.row + start * p.y.step;
        Real* end = p.y.data + e * p.y.member + b * p.y.row + unit.length[r] * p.y.step;
        for (Size t = unit.length[r]; t < shape.steps; ++t, end += p.y.step)
            std::memset(end, 0, std::size_t(hidden) * sizeof(Real));
    }

    const Size x_step = in.reverse ? -in.x.step : in.x.step, y_step = in.reverse ? -p.y.step : p.y.step;
    Size active = unit.rows;
    int now = 0;
    for (Size s = 0;; ++s, now ^= 1) {
        for (; active > 0 && unit.length[active - 1] <= s; --active) {
            const Size r = active - 1;
            std::memcpy(p.h_n.data + e * p.h_n.member + unit.row[r] * p.h_n.row, m.pointer[now][r],
                        std::size_t(hidden) * sizeof(Real));
        }
        if (active == 0) break;
        if (skip) m.sparse.gather(m.pointer[now][0], hidden);
        ForwardStep<Real> step{in,
                               m.x,
                               m.pointer[now],
                               m.pointer[now ^ 1],
                               m.y,
                               skip ? &m.sparse : nullptr,
                               m.packed_ih,
                               m.packed_hh,
                               m.bias};
        tiles<Real>(step, active, panels, hidden + shape.inputs, single);
        for (Size r = 0; r < active; ++r) {
            m.x[r] += x_step;
            m.y[r] += y_step;
        }
    }
}

// ---- one step at a time ---------------------------------------------------------------------------------------------

template <class Real>
Inputs<Real> cell_inputs(const Cell<Real>& cell) {
    Inputs<Real> in{};
    in.shape = {1, 1, 1, cell.inputs, cell.hidden};
    in.tanh = cell.tanh;
    in.linear = cell.linear;
    in.weight_ih = {cell.weight_ih, 0, 0, cell.inputs};
    in.weight_hh = {cell.weight_hh, 0, 0, cell.hidden};
    in.bias = {cell.bias, 0, 0, 0};
    return in;
}

template <class Real>
Size cell_bytes(Size inputs, Size hidden) {
    return ForwardBuffers<Real>({1, 1, 1, inputs, hidden}, 1, nullptr).used;
}

template <class Real>
void cell_pack(const Cell<Real>& cell, void* memory) {
    const ForwardBuffers<Real> m({1, 1, 1, cell.inputs, cell.hidden}, 1, memory);
    const Parts panels(vectors<Real>(cell.hidden), single_vectors);
    *m.skip = pack_forward(cell_inputs(cell), 0, panels, m) == Real(0) && !cell.tanh;
}

template <class Real>
void cell_step(const Cell<Real>& cell, void* memory, const Real* x, Real* state) {
    ForwardBuffers<Real> m({1, 1, 1, cell.inputs, cell.hidden}, 1, memory);
    const Parts panels(vectors<Real>(cell.hidden), single_vectors);
    const Inputs<Real> in = cell_inputs(cell);
    // The state is written in place, panel after panel: its old numbers are needed to the end.
    m.sparse.count = 0;
    const bool skip = *m.skip || !cell.weight_hh;
    if (!skip)
        std::memcpy(m.state[0], state, std::size_t(cell.hidden) * sizeof(Real));
    else if (cell.weight_hh)
        m.sparse.gather(state, cell.hidden);
    ForwardStep<Real> step{in, &x,          &m.state[0], &m.state[1], &state, skip ? &m.sparse : nullptr, m.packed_ih,
                           m.packed_hh, m.bias};
    tiles<Real>(step, 1, panels, cell.hidden, true);
}

// ---- backward -------------------------------------------------------------------------------------------------------

// dz_s = f'(y_s) (dy_s + W_hh^T dz_{s+1}), for a tile.
template <class Real>
struct BackwardStep {
    const Inputs<Real>& in;
    const Real* const* later;  // dz of the step after [rows]
    Real* const* dz;           // [rows]
    const Real* const* y;      // [rows], or null: W_hh^T dz is the result
    const Real* const* dy;     // [rows] or null
    const Sparse<Real>* sparse;
    const Real* packed_hh;
    Size row = 0;
    Size vector = 0;

    NPRNN_INLINE Vec<Real> through(Vec<Real> a, Vec<Real> y_, Size unit) const {
        if (unit < in.linear) return through_linear(a, y_, unit);
        return in.tanh ? a - a * y_ * y_ : y_ > Real(0) ? a : Vec<Real>{};
    }

    __attribute__((noinline)) Vec<Real> through_linear(Vec<Real> a, Vec<Real> y_, Size unit) const {
        return below<Real>(unit, in.linear) ? a : in.tanh ? a - a * y_ * y_ : y_ > Real(0) ? a : Vec<Real>{};
    }

    template <int R, int N>
    __attribute__((noinline)) void tile() {
        constexpr Size L = lanes<Real>;
        Vec<Real> acc[R][N]{};
        if (y) {
#pragma GCC unroll 8
            for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
                for (int n = 0; n < N; ++n) __builtin_prefetch(y[row + r] + (vector + n) * L);
        }
        const Real* b = packed_hh + vector * L * in.shape.hidden;
        if constexpr (R == 1) {
            if (sparse)
                multiply_sparse<Real, N>(acc, *sparse, b);
            else
                multiply<Real, R, N>(acc, later + row, in.shape.hidden, b);
        } else {
            multiply<Real, R, N>(acc, later + row, in.shape.hidden, b);
        }
#pragma GCC unroll 8
        for (int n = 0; n < N; ++n) {
            const Size unit = (vector + n) * L;
            const Some<Real> some(in.shape.hidden - unit);
            if (!y) {
                for (int r = 0; r < R; ++r) store(dz[row + r] + unit, acc[r][n], some);
                continue;
            }
            if (dy)
                for (int r = 0; r < R; ++r) acc[r][n] += load(dy[row + r] + unit, some);
            for (int r = 0; r < R; ++r)
                store(dz[row + r] + unit, through(acc[r][n], load(y[row + r] + unit, some), unit));
        }
    }

    // A row whose last step this is: what comes from later is dh_n, or nothing.
    void start(Size r, const Real* dh_n) const {
        for (Size unit = 0; unit < in.shape.hidden; unit += lanes<Real>) {
            const Some<Real> some(in.shape.hidden - unit);
            Vec<Real> a = dh_n ? load(dh_n + unit, some) : Vec<Real>{};
            if (dy) a += load(dy[r] + unit, some);
            store(dz[r] + unit, through(a, load(y[r] + unit, some), unit));
        }
    }
};

// sums[i] (+)= sum_k dz[k][i] right[k], for a tile of hidden units and columns.
template <class Real>
struct Fold {
    const Real* dz;
    Size line, depth;
    const Real* panel;
    Real* sums;
    Size width;
    bool add;
    Size unit = 0;
    Size vector = 0;

    template <int R, int N>
    __attribute__((noinline)) void tile() {
        constexpr Size L = lanes<Real>;
        Vec<Real> acc[R][N]{};
        multiply_columns<Real, R, N>(acc, dz + unit, line, depth, panel);
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) {
            Real* to = sums + (unit + r) * width + vector * L;
#pragma GCC unroll 8
            for (int n = 0; n < N; ++n, to += L) store(to, add ? load(to) + acc[r][n] : acc[r][n]);
        }
    }
};

// dx[k] = W_ih^T dz[k], for a tile.
template <class Real>
struct InputGradient {
    const Real* const* dz;
    Real* const* dx;
    const Real* packed_ih;
    Size inputs, hidden;
    Size row = 0;
    Size vector = 0;

    template <int R, int N>
    __attribute__((noinline)) void tile() {
        constexpr Size L = lanes<Real>;
        Vec<Real> acc[R][N]{};
        multiply<Real, R, N>(acc, dz + row, hidden, packed_ih + vector * L * hidden);
#pragma GCC unroll 8
        for (int n = 0; n < N; ++n) {
            const Some<Real> some(inputs - (vector + n) * L);
            for (int r = 0; r < R; ++r) store(dx[row + r] + (vector + n) * L, acc[r][n], some);
        }
    }
};

template <class Real>
Size sums_width(const Shape& shape) {
    return vectors<Real>(shape.hidden + shape.inputs + 1) * lanes<Real>;
}

template <class Real>
struct BackwardBuffers {
    Real *packed_ih, *packed_hh, *dz, *panel;
    Real **row, **dx;                // by gathered row
    Real** dh0;                // by row of the unit
    const Real **previous, **input;  // by gathered row
    const Real **y, **dy;            // by row of the unit, at the step in hand
    Sparse<Real> sparse;
    Size capacity, line_, used;

    BackwardBuffers(const Shape& shape, bool need_dx, Size rows, void* memory) {
        Scratch scratch(memory);
        // Three steps at least: a new chunk starts while the last step of the old one is still read.
        const Size most = shape.steps * rows, wanted = gathered_rows > 3 * rows ? gathered_rows : 3 * rows;
        capacity = most < wanted ? most : wanted;
        line_ = line<Real>(shape.hidden);
        packed_hh = scratch.take<Real>(shape.hidden * vectors<Real>(shape.hidden) * lanes<Real>);
        packed_ih = scratch.take<Real>(need_dx ? shape.hidden * vectors<Real>(shape.inputs) * lanes<Real> : 0);
        dz = scratch.take<Real>(capacity * line_);
        panel = scratch.take<Real>(capacity * tile_vectors * lanes<Real>);
        row = scratch.take<Real*>(capacity);
        dx = scratch.take<Real*>(need_dx ? capacity : 0);
        dh0 = scratch.take<Real*>(rows);
        previous = scratch.take<const Real*>(capacity);
        input = scratch.take<const Real*>(capacity);
        y = scratch.take<const Real*>(rows);
        dy = scratch.take<const Real*>(rows);
        sparse.index = scratch.take<std::int32_t>(line_ + 16);
        sparse.value = scratch.take<Real>(line_ + 16);
        used = scratch.used();
    }
};

template <class Real>
Size backward_scratch(const Backward<Real>& p, Size rows) {
    return BackwardBuffers<Real>(p.in.shape, p.dx.data != nullptr, rows, nullptr).used;
}

// One vector of [previous state | input | 1 | 0 ...] from column `from` on.
template <class Real>
NPRNN_INLINE void augmented(const Real* state, const Real* input, const Shape& shape, Size from, Real* to) {
    constexpr Size L = lanes<Real>;
    if (from + L <= shape.hidden) return store(to, load(state + from));
    const Size inputs = from - shape.hidden;  // columns of the input start here
    if (inputs >= 0 && inputs + L <= shape.inputs) return store(to, load(input + inputs));
    store(to, load(state + from, Some<Real>(-inputs)));
    for (Size k = inputs < 0 ? 0 : inputs; k < inputs + L && k <= shape.inputs; ++k)
        to[k - inputs] = k < shape.inputs ? input[k] : Real(1);
}

template <class Real>
void fold(const Shape& shape, const BackwardBuffers<Real>& m, Size depth, Real* sums, bool add) {
    constexpr Size L = lanes<Real>;
    const Size width = sums_width<Real>(shape);
    const Parts panels(width / L, tile_vectors);
    const Parts blocks(shape.hidden, tile_rows);
    for (Size q = 0; q < panels.count; ++q) {
        const int n = panels.size(q);
        const Size column = panels.first(q) * L, ahead = column + n * L - shape.hidden;
        for (Size k = 0; k < depth; ++k) {
            for (Size v = 0; v < n; ++v)
                augmented(m.previous[k], m.input[k], shape, column + v * L, m.panel + (k * n + v) * L);
            // Wide inputs lie far apart: the next panel's are asked for now and come while this one is multiplied.
            for (Size v = 0; ahead >= 0 && v <= n && ahead + v * L < shape.inputs; ++v)
                __builtin_prefetch(m.input[k] + ahead + v * L);
        }
        Fold<Real> body{m.dz, m.line_, depth, m.panel, sums, width, add};
        body.vector = panels.first(q);
        for (Size b = 0; b < blocks.count; ++b) {
            body.unit = blocks.first(b);
            with_tile<tile_rows>(blocks.size(b), n, body);
        }
    }
}

template <class Real>
void input_gradient(const Shape& shape, const BackwardBuffers<Real>& m, Size depth, const Parts& panels) {
    InputGradient<Real> body{m.row, m.dx, m.packed_ih, shape.inputs, shape.hidden};
    tiles<Real>(body, depth, panels, shape.hidden, false);
}

template <class Real>
void backward(const Backward<Real>& p, const Unit& unit, Real* sums, bool add, void* memory) {
    const Inputs<Real>& in = p.in;
    const Shape& shape = in.shape;
    const Size hidden = shape.hidden, e = unit.member;
    const bool single = unit.rows == 1;
    const Parts panels(vectors<Real>(hidden), single ? single_vectors : tile_vectors);
    const Parts input_panels(vectors<Real>(shape.inputs), tile_vectors);
    BackwardBuffers<Real> m(shape, p.dx.data != nullptr, unit.rows, memory);

    const Real check = pack(in.weight_hh.data + e * in.weight_hh.member, in.weight_hh.row, hidden, hidden, false, panels,
                            m.packed_hh);
    const bool skip = single && check == Real(0) && !in.tanh;
    if (p.dx.data)
        pack(in.weight_ih.data + e * in.weight_ih.member, in.weight_ih.row, hidden, shape.inputs, false, input_panels,
             m.packed_ih);

    const auto at = [e](const auto& tensor, Size b, Size t) {
        return tensor.data + e * tensor.member + b * tensor.row + t * tensor.step;
    };
    for (Size r = 0; r < unit.rows && p.dx.data; ++r)
        for (Size t = unit.length[r]; t < shape.steps; ++t)
            std::memset(at(p.dx, unit.row[r], t), 0, std::size_t(shape.inputs) * sizeof(Real));

    for (Size k = 0; k < m.capacity; ++k) m.row[k] = m.dz + k * m.line_;
    Size before = 0;  // rows that ran at the step after
    Size later = 0;   // where they are among the gathered
    Size depth = 0;   // rows gathered
    for (Size s = unit.rows ? unit.length[0] - 1 : -1; s >= 0; --s) {
        Size active = before;
        while (active < unit.rows && unit.length[active] > s) ++active;
        if (depth + active > m.capacity) {
            fold(shape, m, depth, sums, add);
            if (p.dx.data) input_gradient(shape, m, depth, input_panels);
            add = true;
            depth = 0;
        }
        for (Size r = 0; r < active; ++r) {
            const Size b = unit.row[r], t = in.reverse ? unit.length[r] - 1 - s : s;
            m.y[r] = at(p.y, b, t);
            if (p.dy.data) m.dy[r] = at(p.dy, b, t);
            if (p.dx.data) m.dx[depth + r] = at(p.dx, b, t);
            m.input[depth + r] = at(in.x, b, t);
            m.previous[depth + r] = s == 0 ? at(in.h0, b, 0) : at(p.y, b, in.reverse ? t + 1 : t - 1);
        }
        if (skip && before) m.sparse.gather(m.row[later], hidden);
        BackwardStep<Real> step{in,
                                m.row + later,
                                m.row + depth,
                                m.y,
                                p.dy.data ? m.dy : nullptr,
                                skip ? &m.sparse : nullptr,
                                m.packed_hh};
        tiles<Real>(step, before, panels, hidden, single);
        for (Size r = before; r < active; ++r) step.start(r, p.dh_n.data ? at(p.dh_n, unit.row[r], 0) : nullptr);
        later = depth;
        depth += active;
        before = active;
    }
    fold(shape, m, depth, sums, add);
    if (p.dx.data) input_gradient(shape, m, depth, input_panels);

    if (!p.dh0.data) return;
    for (Size r = 0; r < unit.rows; ++r) m.dh0[r] = at(p.dh0, unit.row[r], 0);
    if (skip && before) m.sparse.gather(m.row[later], hidden);
    BackwardStep<Real> step{in, m.row + later, m.dh0, nullptr, nullptr, skip ? &m.sparse : nullptr, m.packed_hh};
    tiles<Real>(step, before, panels, hidden, single);
    for (Size r = before; r < unit.rows; ++r)
        for (Size k = 0; k < hidden; ++k) m.dh0[r][k] = p.dh_n.data ? at(p.dh_n, unit.row[r], 0)[k] : Real(0);
}

template <class Real>
constexpr Engine<Real> engine() {
    return {forward_scratch<Real>, forward<Real>,    backward_scratch<Real>, backward<Real>,
            sums_width<Real>,      cell_bytes<Real>, cell_pack<Real>,        cell_step<Real>};
}

}  // namespace
}  // namespace nprnn
