#include "operator.hpp"

#include <algorithm>
#include <cstdlib>
#include <new>
#include <numeric>

#include "threads.hpp"

namespace nprnn {

#if defined(NPRNN_X86)
extern const Engines portable, avx2, avx512;
#elif defined(NPRNN_ARM64)
extern const Engines portable, neon;
#else
extern const Engines portable;
#endif

const std::vector<const Engines*>& engines() {
    static const std::vector<const Engines*> found = [] {
        std::vector<const Engines*> sets{&portable};
#if defined(NPRNN_X86)
        __builtin_cpu_init();
        if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
            sets.push_back(&avx2);
            if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw"))
                sets.push_back(&avx512);
        }
#elif defined(NPRNN_ARM64)
        sets.push_back(&neon);
#endif
        return sets;
    }();
    return found;
}

namespace {

// Waking a second thread costs as much as about so many multiplications.
constexpr double worth_a_thread = 2e5;

// Memory that a thread keeps between calls: fresh pages cost more than the arithmetic of a short sequence.
class Workspace {
  public:
    ~Workspace() { std::free(memory_); }
    char* get(Size bytes) {
        if (bytes > size_) {
            std::free(memory_);
            size_ = 0;
            memory_ = static_cast<char*>(std::aligned_alloc(64, std::size_t((bytes + 63) / 64 * 64)));
            if (!memory_) throw std::bad_alloc();
            size_ = bytes;
        }
        return memory_;
    }
    void trim() {
        if (size_ <= kept) return;
        std::free(memory_);
        memory_ = nullptr;
        size_ = 0;
    }

  private:
    static constexpr Size kept = Size(64) << 20;
    char* memory_ = nullptr;
    Size size_ = 0;
};

Workspace& workspace() {
    thread_local Workspace mine;
    return mine;
}

// The work cut into units, and the units dealt out to threads.  The same cut for the same shapes, lengths and number of
// threads: sums are added in the same order.
struct Plan {
    int threads;
    Size parts;  // units each member's batch is cut into
    std::vector<Unit> units;
    std::vector<Size> rows, lengths;

    template <class Real>
    Plan(const Inputs<Real>& in, int most) {
        const Shape& s = in.shape;
        const double work = double(s.members) * double(s.steps) * double(s.batch) * double(s.hidden) *
                            double(s.hidden + s.inputs);
        threads = int(std::min<double>({double(most), work / worth_a_thread + 1, double(s.members * s.batch)}));
        threads = std::max(threads, 1);
        // Whole members are dealt out when they come out even, or nearly; else each is cut for all threads.
        parts = s.members % threads == 0 || s.members >= 4 * threads ? 1 : std::min<Size>(threads, s.batch);
        rows.resize(std::size_t(s.members * s.batch));
        lengths.resize(rows.size());
        for (Size e = 0; e < s.members; ++e) member(in, e);
    }

    // The units of thread k.
    Size first(int k) const { return Size(units.size()) * k / threads; }

  private:
    template <class Real>
    void member(const Inputs<Real>& in, Size e) {
        const Shape& s = in.shape;
        const Size b0 = e * s.batch;
        Size* own = rows.data() + b0;
        std::iota(own, own + s.batch, Size(0));
        const auto length = [&](Size b) {
            if (!in.lengths.data) return s.steps;
            const Size n = Size(in.lengths.data[e * in.lengths.member + b * in.lengths.row]);
            return std::min(std::max<Size>(n, 0), s.steps);
        };
        Size from = 0;
        if (in.lengths.data) {
            std::stable_sort(own, own + s.batch, [&](Size a, Size b) { return length(a) > length(b); });
            // Dealt out like cards, so that every part has long and short ones.
            const std::vector<Size> sorted(own, own + s.batch);
            Size to = 0;
            for (Size part = 0; part < parts; ++part)
                for (Size k = part; k < s.batch; k += parts) own[to++] = sorted[std::size_t(k)];
        }
        for (Size b = 0; b < s.batch; ++b) lengths[std::size_t(b0 + b)] = length(own[b]);
        for (Size part = 0; part < parts; ++part) {
            const Size count = (s.batch - part + parts - 1) / parts;
            units.push_back({e, count, own + from, lengths.data() + b0 + from});
            from += count;
        }
    }
};

template <class Real>
void write(const Backward<Real>& p, Size e, const Real* sums, Size width, bool add) {
    const Shape& s = p.in.shape;
    const auto put = [add](Real* to, const Real* from, Size count) {
        if (add)
            for (Size k = 0; k < count; ++k) to[k] += from[k];
        else
            std::copy(from, from + count, to);
    };
    for (Size i = 0; i < s.hidden; ++i, sums += width) {
        put(p.dweight_hh.data + e * p.dweight_hh.member + i * p.dweight_hh.row, sums, s.hidden);
        put(p.dweight_ih.data + e * p.dweight_ih.member + i * p.dweight_ih.row, sums + s.hidden, s.inputs);
        if (p.dbias.data) put(p.dbias.data + e * p.dbias.member + i, sums + s.hidden + s.inputs, 1);
    }
}

}  // namespace

template <class Real>
void run_forward(const Engines& engines, const Forward<Real>& p, int most) {
    const Engine<Real>& engine = engines.of(Real());
    const Plan plan(p.in, most);
    Size rows = 0;
    for (const Unit& unit : plan.units) rows = std::max(rows, unit.rows);
    const Size each = engine.forward_scratch(p.in, rows);
    char* memory = workspace().get(each * plan.threads);
    parallel(plan.threads, [&](int k) {
        for (Size u = plan.first(k); u < plan.first(k + 1); ++u)
            engine.forward(p, plan.units[std::size_t(u)], memory + each * k);
    });
    workspace().trim();
}

template <class Real>
void run_backward(const Engines& engines, const Backward<Real>& p, int most) {
    const Engine<Real>& engine = engines.of(Real());
    const Plan plan(p.in, most);
    Size rows = 0;
    for (const Unit& unit : plan.units) rows = std::max(rows, unit.rows);
    const Size each = engine.backward_scratch(p, rows), width = engine.sums_width(p.in.shape);
    const Size numbers = (p.in.shape.hidden * width + 15) / 16 * 16;
    // One sum for each thread, or for each unit where several units make up a member's gradient.
    const bool by_unit = plan.parts > 1 && !p.summed;
    const Size kept = by_unit ? Size(plan.units.size()) : plan.threads;
    char* memory = workspace().get(each * plan.threads + kept * numbers * Size(sizeof(Real)));
    Real* sums = reinterpret_cast<Real*>(memory + each * plan.threads);
    parallel(plan.threads, [&](int k) {
        for (Size u = plan.first(k); u < plan.first(k + 1); ++u) {
            const Unit& unit = plan.units[std::size_t(u)];
            Real* own = sums + (by_unit ? u : k) * numbers;
            engine.backward(p, unit, own, p.summed && u > plan.first(k), memory + each * k);
            if (!by_unit && !p.summed) write(p, unit.member, own, width, false);
        }
    });
    if (by_unit)
        for (Size u = 0; u < kept; ++u)
            write(p, plan.units[std::size_t(u)].member, sums + u * numbers, width, u % plan.parts != 0);
    if (p.summed)
        for (Size k = 0; k < kept; ++k) write(p, 0, sums + k * numbers, width, k > 0);
    workspace().trim();
}

template void run_forward(const Engines&, const Forward<float>&, int);
template void run_forward(const Engines&, const Forward<double>&, int);
template void run_backward(const Engines&, const Backward<float>&, int);
template void run_backward(const Engines&, const Backward<double>&, int);

}  // namespace nprnn
