// Work split over threads.
#pragma once

#include <type_traits>

namespace nprnn {

// Calls body(data, k) once for every k = 0 .. count - 1, on up to `count` threads, and returns when all are done. Meanwhile
// each of those threads flushes denormal numbers to zero; its own setting is put back.
void parallel(int count, void (*body)(void* data, int k), void* data);

template <class Body>
void parallel(int count, Body&& body) {
    using Plain = typename std::remove_reference<Body>::type;
    parallel(count, [](void* data, int k) { (*static_cast<Plain*>(data))(k); }, &body);
}

// Whose threads they are.
const char* pool_name();

}  // namespace nprnn
