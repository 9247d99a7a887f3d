// Work split over threads.
#pragma once

#include <cstdint>
#include <type_traits>
#if defined(__SSE__)
#include <xmmintrin.h>
#endif

namespace nprnn {

// Flushes denormal numbers to zero on this thread for as long as it lives: gradients of a contracting network decay into
// them, and processors handle them many times slower.
class FlushDenormals {
  public:
#if defined(__SSE__)
    FlushDenormals() : before_(_mm_getcsr()) { _mm_setcsr(before_ | 0x8040); }
    ~FlushDenormals() { _mm_setcsr(before_); }

  private:
    unsigned before_;
#elif defined(__aarch64__)
    FlushDenormals() {
        asm volatile("mrs %0, fpcr" : "=r"(before_));
        asm volatile("msr fpcr, %0" : : "r"(before_ | (std::uint64_t(1) << 24)));
    }
    ~FlushDenormals() { asm volatile("msr fpcr, %0" : : "r"(before_)); }

  private:
    std::uint64_t before_;
#endif
};

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
