#define NPRNN_VECTOR_BYTES 64
#define NPRNN_TILE_ROWS 8
#define NPRNN_TILE_VECTORS 3
#include "recurrence.hpp"

namespace nprnn {

extern const Engines avx512;
const Engines avx512{"avx512", engine<float>(), engine<double>()};

}  // namespace nprnn
