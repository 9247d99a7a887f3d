// A stack of layers run one step at a time, at batch 1, without allocating.
#pragma once

#include <cstdlib>
#include <memory>
#include <new>
#include <vector>

#include "operator.hpp"
#include "threads.hpp"

namespace nprnn {

template <class Real>
class Streamer {
  public:
    explicit Streamer(const Engines& engines) : engine_(engines.of(Real())) {}
    Streamer(const Streamer&) = delete;
    Streamer& operator=(const Streamer&) = delete;

    // The next layer; its input is the output of the one before, and `state` [H] is where its own is kept.
    void add(Cell<Real> cell, Real* state) {
        const std::size_t bytes = std::size_t((engine_.cell_bytes(cell.inputs, cell.hidden) + 63) / 64 * 64);
        Memory packed(std::aligned_alloc(64, bytes), &std::free);
        if (!packed) throw std::bad_alloc();
        engine_.cell_pack(cell, packed.get());
        layers_.push_back({cell, std::move(packed), state});
    }

    void step(const Real* x) {
        FlushDenormals flush;
        for (Layer& layer : layers_) {
            engine_.cell_step(layer.cell, layer.packed.get(), x, layer.state);
            x = layer.state;
        }
    }

  private:
    using Memory = std::unique_ptr<void, void (*)(void*)>;
    struct Layer {
        Cell<Real> cell;
        Memory packed;
        Real* state;
    };
    const Engine<Real>& engine_;
    std::vector<Layer> layers_;
};

}  // namespace nprnn
