// y_t = f(W_ih x_t + W_hh y_{t-1} + b), for one unit of work: the time loop forward.
#pragma once

#include "product.hpp"

namespace nprnn {
namespace {

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
        const Size hidden = in.shape.hidden;
        multiply<Real, R, N>(acc, sparse, state + row, hidden, packed_hh + vector * L * hidden);
#pragma GCC unroll 8
        for (int n = 0; n < N; ++n) {
            const Size unit = (vector + n) * L;
            const Some<Real> some(hidden - unit);
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

}  // namespace
}  // namespace nprnn
