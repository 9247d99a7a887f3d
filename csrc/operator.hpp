// The operator on whole tensors: splits the work over threads and adds up the gradients of the weights.
#pragma once

#include <vector>

#include "problem.hpp"

namespace nprnn {

// What this processor runs, from the least to the most capable.
const std::vector<const Engines*>& engines();

template <class Real>
void run_forward(const Engines& engines, const Forward<Real>& problem, int threads);

template <class Real>
void run_backward(const Engines& engines, const Backward<Real>& problem, int threads);

}  // namespace nprnn
