#define NPRNN_VECTOR_BYTES 16
#define NPRNN_TILE_ROWS 4
#define NPRNN_TILE_VECTORS 2
#include "recurrence.hpp"

namespace nprnn {

extern const Engines portable;
const Engines portable{"portable", engine<float>(), engine<double>()};

}  // namespace nprnn
