#define NPRNN_VECTOR_BYTES 32
#define NPRNN_TILE_ROWS 4
#define NPRNN_TILE_VECTORS 3
#include "recurrence.hpp"

namespace nprnn {

extern const Engines avx2;
const Engines avx2{"avx2", engine<float>(), engine<double>()};

}  // namespace nprnn
