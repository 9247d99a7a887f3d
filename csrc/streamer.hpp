// A stack of layers run one step at a time, for one stream or several, without allocating.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <type_traits>
#include <vector>

#include "operator.hpp"
#include "threads.hpp"

namespace nprnn {

// Whether no number is NaN or infinite.  On their bits: sums of floating numbers would wait for each other.
template <class Real>
bool finite(const Real* x, Size count) {
    using Bits = std::conditional_t<sizeof(Real) == 4, std::uint32_t, std::uint64_t>;
    constexpr Bits exponent = sizeof(Real) == 4 ? Bits(0x7f800000u) : Bits(0x7ff0000000000000u);
    Bits found = 0;
    for (Size k = 0; k < count; ++k) {
        Bits bits;
        std::memcpy(&bits, x + k, sizeof bits);
        found |= Bits((bits & exponent) == exponent);
    }
    return found == 0;
}

template <class Real>
class Streamer {
  public:
    Streamer(const Engines& engines, Size streams) : engine_(engines.of(Real())), streams_(streams) {}
    Streamer(const Streamer&) = delete;
    Streamer& operator=(const Streamer&) = delete;

    // The next layer; its input is the output of the one before, and `state` [streams, H] is where its own is kept.
    void add(Cell<Real> cell, Real* state) {
        const std::size_t bytes = std::size_t((engine_.cell_bytes(cell.inputs, cell.hidden) + 63) / 64 * 64);
        Memory packed(std::aligned_alloc(64, bytes), &std::free);
        if (!packed) throw std::bad_alloc();
        engine_.cell_pack(cell, packed.get());
        if (layers_.empty()) own_.resize(std::size_t(streams_ * cell.inputs));
        layers_.push_back({cell, std::move(packed), state});
    }

    // Every input [I] less the mean, over the scale, from now on.
    void standardise(const Real* mean, const Real* scale) {
        mean_ = mean;
        scale_ = scale;
    }

    // Takes in x [steps, streams, I]; `out` [steps, streams, H of the last layer] or null.  False, and nothing has
    // happened, if a number of x is not finite.
    bool run(const Real* x, Size steps, Real* out) {
        const Size inputs = streams_ * layers_.front().cell.inputs;
        const Size outputs = streams_ * layers_.back().cell.hidden;
        if (!finite(x, steps * inputs)) return false;
        for (Size s = 0; s < steps; ++s, x += inputs) {
            step(x);
            if (out) std::memcpy(out + s * outputs, layers_.back().state, std::size_t(outputs) * sizeof(Real));
        }
        return true;
    }

  private:
    using Memory = std::unique_ptr<void, void (*)(void*)>;
    struct Layer {
        Cell<Real> cell;
        Memory packed;
        Real* state;
    };

    // Stream by stream: one row leaves out what is off, shares the packed weights with the next, and waits for no thread.
    void step(const Real* x) {
        if (mean_)
            x = standardised(x);
        else if (is_state(x))
            x = copied(x);
        FlushDenormals flush;
        for (Layer& layer : layers_) {
            const Cell<Real>& cell = layer.cell;
            for (Size r = 0; r < streams_; ++r)
                engine_.cell_step(cell, layer.packed.get(), x + r * cell.inputs, layer.state + r * cell.hidden);
            x = layer.state;
        }
    }

    const Real* standardised(const Real* x) {
        const Size inputs = layers_.front().cell.inputs;
        Real* to = own_.data();
        for (Size r = 0; r < streams_; ++r, to += inputs, x += inputs)
            for (Size k = 0; k < inputs; ++k) to[k] = (x[k] - mean_[k]) / scale_[k];
        return own_.data();
    }

    // A network fed with its own state: it would be overwritten while it is still read.
    bool is_state(const Real* x) const {
        const Real* end = x + own_.size();
        for (const Layer& layer : layers_)
            if (x < layer.state + streams_ * layer.cell.hidden && layer.state < end) return true;
        return false;
    }

    const Real* copied(const Real* x) {
        std::memcpy(own_.data(), x, own_.size() * sizeof(Real));
        return own_.data();
    }

    const Engine<Real>& engine_;
    const Size streams_;
    const Real *mean_ = nullptr, *scale_ = nullptr;
    std::vector<Real> own_;  // an input as the first layer takes it
    std::vector<Layer> layers_;
};

}  // namespace nprnn
