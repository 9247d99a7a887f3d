// What the recurrence is asked to do, as plain pointers and strides; shared by all instruction sets.
//
// Axes: E ensemble member, T time, B batch, I input, H hidden.  The last axis of every tensor is contiguous; a stride of
// 0 over E means that all members share the tensor.
#pragma once

#include <cstddef>
#include <cstdint>

namespace nprnn {

using Size = std::ptrdiff_t;

// Element (e, t, b, i) is data[e * member + t * step + b * row + i]; weights use `row` for their own rows.
template <class Real>
struct Rows {
    Real* data = nullptr;
    Size member = 0;
    Size step = 0;
    Size row = 0;
};

struct Shape {
    Size members, steps, batch, inputs, hidden;
};

template <class Real>
struct Inputs {
    Shape shape;
    bool tanh;             // relu otherwise
    bool reverse;          // from the last step of each sequence to its first
    Size linear;           // f is the identity on the first so many units
    Rows<const Real> x;           // [E,T,B,I]
    Rows<const Real> h0;          // [E,B,H]
    Rows<const Real> weight_ih;   // [E,H,I]
    Rows<const Real> weight_hh;   // [E,H,H]
    Rows<const Real> bias;        // [E,H] or absent
    Rows<const std::int64_t> lengths;  // [E,B], 0..T, or absent: all T
};

// y_t = f(W_ih x_t + W_hh y_{t-1} + b); past a sequence's length y is 0 and the state stands still.
template <class Real>
struct Forward {
    Inputs<Real> in;
    Rows<Real> y;    // [E,T,B,H]
    Rows<Real> h_n;  // [E,B,H]
};

// dz_t = f'(y_t) (dy_t + W_hh^T dz_{t+1});  dW_hh = sum dz_t y_{t-1}^T, dW_ih = sum dz_t x_t^T, db = sum dz_t.
template <class Real>
struct Backward {
    Inputs<Real> in;
    Rows<const Real> y;      // [E,T,B,H]
    Rows<const Real> dy;     // [E,T,B,H] or absent: 0
    Rows<const Real> dh_n;   // [E,B,H] or absent: 0
    Rows<Real> dx;           // [E,T,B,I] or absent: not wanted
    Rows<Real> dh0;          // [E,B,H] or absent: not wanted
    Rows<Real> dweight_ih;   // [E,H,I]
    Rows<Real> dweight_hh;   // [E,H,H]
    Rows<Real> dbias;        // [E,H] or absent
    bool summed;             // the three gradients of weights are summed over E
};

// Rows of the batch of one member that one thread takes through time together, the longest first.
struct Unit {
    Size member;
    Size rows;
    const Size* row;     // which rows of the batch [rows]
    const Size* length;  // their lengths [rows], descending
};

// One layer that is run a step at a time, at batch 1: state = f(W_ih x + W_hh state + b), W_hh absent for a plain layer.
template <class Real>
struct Cell {
    Size inputs, hidden;
    bool tanh;
    Size linear;
    const Real* weight_ih;  // [H,I]
    const Real* weight_hh;  // [H,H] or null
    const Real* bias;       // [H] or null
};

// One instruction set's code for one floating type.  Scratch memory is the caller's, aligned to 64 bytes.
//
// `sums` gathers [dW_hh | dW_ih | db | padding], one line of `sums_width` numbers for every hidden unit.
template <class Real>
struct Engine {
    Size (*forward_scratch)(const Inputs<Real>&, Size rows);
    void (*forward)(const Forward<Real>&, const Unit&, void* scratch);
    Size (*backward_scratch)(const Backward<Real>&, Size rows);
    void (*backward)(const Backward<Real>&, const Unit&, Real* sums, bool add, void* scratch);
    Size (*sums_width)(const Shape&);
    Size (*cell_bytes)(Size inputs, Size hidden);
    void (*cell_pack)(const Cell<Real>&, void* packed);
    void (*cell_step)(const Cell<Real>&, void* packed, const Real* x, Real* state);
};

struct Engines {
    const char* name;
    Engine<float> single;
    Engine<double> twofold;
    const Engine<float>& of(float) const { return single; }
    const Engine<double>& of(double) const { return twofold; }
};

}  // namespace nprnn
