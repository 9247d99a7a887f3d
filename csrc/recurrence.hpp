// The kernel of one instruction set: every recurrence_<isa>.cpp sets the width of a vector and the size of a tile, and
// includes this.
#pragma once

#include "backward.hpp"
#include "cell.hpp"
#include "forward.hpp"

namespace nprnn {
namespace {

template <class Real>
constexpr Engine<Real> engine() {
    return {forward_scratch<Real>, forward<Real>,    backward_scratch<Real>, backward<Real>,
            sums_width<Real>,      cell_bytes<Real>, cell_pack<Real>,        cell_step<Real>};
}

}  // namespace
}  // namespace nprnn
