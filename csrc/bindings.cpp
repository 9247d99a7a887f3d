// The native module: what this processor can do, so that a run can record it and a kernel can be chosen by it.
// Plain C++17 and nanobind; no torch, so that the package builds without it.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <string>
#include <vector>

namespace nb = nanobind;

namespace {

// From the least to the most capable: the last one is what this machine can run.
std::vector<std::string> instruction_sets() {
    std::vector<std::string> found{"portable"};
#if (defined(__x86_64__) || defined(_M_X64)) && (defined(__GNUC__) || defined(__clang__))
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) found.emplace_back("avx2");
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        found.emplace_back("avx512");
#elif defined(__aarch64__) || defined(_M_ARM64)
    found.emplace_back("neon");
#endif
    return found;
}

}  // namespace

NB_MODULE(_native, m) {
    m.doc() = "Native part of nprnn.";
    m.def("instruction_sets", &instruction_sets, "Instruction sets this processor runs, the most capable last.");
    m.attr("compiler") = NPRNN_COMPILER;
}
