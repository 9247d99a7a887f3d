// dz_t = f'(y_t) (dy_t + W_hh^T dz_{t+1}), for one unit of work, and the gradients that come of it: the time loop backward.
#pragma once

#include "product.hpp"

namespace nprnn {
namespace {

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
        const Vec<Real> bent = in.tanh ? a - a * y_ * y_ : y_ > Real(0) ? a : Vec<Real>{};
        return unit < in.linear ? linear_units(a, bent, unit) : bent;
    }

    // Rare: a call keeps it out of the tiles' code.
    __attribute__((noinline)) Vec<Real> linear_units(Vec<Real> a, Vec<Real> bent, Size unit) const {
        return below<Real>(unit, in.linear) ? a : bent;
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
        const Size hidden = in.shape.hidden;
        multiply<Real, R, N>(acc, sparse, later + row, hidden, packed_hh + vector * L * hidden);
#pragma GCC unroll 8
        for (int n = 0; n < N; ++n) {
            const Size unit = (vector + n) * L;
            const Some<Real> some(hidden - unit);
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
        const Real* column = dz + unit;
        product(acc, depth, panel, [&](int r, Size k) __attribute__((always_inline)) { return column[k * line + r]; });
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
    Real** dh0;                      // by row of the unit
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

}  // namespace
}  // namespace nprnn
