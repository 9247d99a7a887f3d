// One step of one layer at batch 1, on weights that stay packed.
#pragma once

#include "forward.hpp"

namespace nprnn {
namespace {

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

}  // namespace
}  // namespace nprnn
