#define NPRNN_VECTOR_BYTES 16
#define NPRNN_TILE_ROWS 4
#define NPRNN_TILE_VECTORS 4
#include "recurrence.hpp"

namespace nprnn {

extern const Engines neon;
const Engines neon{"neon", engine<float>(), engine<double>()};

}  // namespace nprnn
