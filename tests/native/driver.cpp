// Random problems through every kernel of this processor, against plain loops in double; built by tests/test_native.py.
//
//     driver CASES SEED CALLERS [fork]
//
// CALLERS threads call the operator at once; with `fork` a child of the process calls it, too, when they are done.
//
// Every tensor ends where its memory ends, and whatever lies between and around its numbers is blank before and after.
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <random>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

#include "operator.hpp"
#include "threads.hpp"

namespace {

using nprnn::Rows;
using nprnn::Size;

// AddressSanitizer guards the ends itself, and sees an overrun only if nothing else is there.
#if defined(__SANITIZE_ADDRESS__)
constexpr Size guard = 0;
#else
constexpr Size guard = 67;
#endif

class Random {
  public:
    explicit Random(unsigned seed) : bits_(seed) {}
    Size between(Size low, Size high) { return low + Size(bits_() % unsigned(high - low + 1)); }
    bool coin() { return between(0, 1) == 1; }
    double number() { return double(bits_()) / 2147483648.0 - 1; }  // -1 .. 1

  private:
    std::mt19937 bits_;
};

template <class T>
constexpr T blank() {
    return std::is_integral<T>::value ? T(-77) : std::numeric_limits<T>::quiet_NaN();
}

template <class T>
bool is_blank(T v) {
    return v != v || (std::is_integral<T>::value && v == blank<T>());
}

// [E,T,B,N] in any order of T and B, with gaps; a weight is [E,1,H,N]. One member's numbers may serve all.
template <class T>
struct Tensor {
    Size members = 0, steps, rows, width;
    std::vector<T> memory;
    Rows<T> at;

    Tensor(Random& random, bool present, Size members_, Size steps_, Size rows_, Size width_) {
        if (!present) return;
        members = members_, steps = steps_, rows = rows_, width = width_;
        const Size line = width + (random.coin() ? random.between(1, 5) : 0);
        const bool batch_first = random.coin();
        at.step = batch_first ? line : rows * line;
        at.row = batch_first ? steps * line : line;
        at.member = steps * rows * line;
        const Size end = (members - 1) * at.member + (steps - 1) * at.step + (rows - 1) * at.row + width;
        memory.assign(std::size_t(end + 2 * guard), blank<T>());
        at.data = memory.data() + guard;
        if (members == 1) at.member = 0;
    }

    bool present() const { return members > 0; }
    T& operator()(Size e, Size t, Size b, Size k) { return at.data[e * at.member + t * at.step + b * at.row + k]; }
    Rows<const T> input() const { return {at.data, at.member, at.step, at.row}; }

    template <class Make>
    void fill(Make make) {
        for (Size e = 0; e < members; ++e)
            for (Size t = 0; t < steps; ++t)
                for (Size b = 0; b < rows; ++b)
                    for (Size k = 0; k < width; ++k) (*this)(e, t, b, k) = make();
    }

    // Whether nothing was written beside the numbers; wipes them.
    bool clean() {
        fill([] { return blank<T>(); });
        return std::all_of(memory.begin(), memory.end(), is_blank<T>);
    }
};

// A sum of products of numbers that are wrong by up to an error (on the left) with others that are not.
struct Sum {
    double value = 0, size = 0, weight = 0;
    void add(double left, double right) {
        value += left * right;
        size += std::fabs(left * right);
        weight += std::fabs(right);
    }
};

template <class Real>
class Case {
  public:
    explicit Case(Random& random)
        : shape(draw_shape(random)),
          E(shape.members), T(shape.steps), B(shape.batch), I(shape.inputs), H(shape.hidden),
          tanh(random.coin()), reverse(random.coin()), summed(random.coin()),
          linear(random.coin() ? 0 : random.between(0, H)),
          x(random, true, own(random), T, B, I), h0(random, true, own(random), 1, B, H),
          weight_ih(random, true, own(random), 1, H, I), weight_hh(random, true, own(random), 1, H, H),
          bias(random, random.coin(), own(random), 1, 1, H), dy(random, random.coin(), own(random), T, B, H),
          dh_n(random, random.coin(), own(random), 1, B, H), y(random, true, E, T, B, H), h_n(random, true, E, 1, B, H),
          dx(random, random.coin(), E, T, B, I), dh0(random, random.coin(), E, 1, B, H),
          dweight_ih(random, true, summed ? 1 : E, 1, H, I), dweight_hh(random, true, summed ? 1 : E, 1, H, H),
          dbias(random, random.coin(), summed ? 1 : E, 1, 1, H), lengths(random, random.coin(), own(random), 1, B, 1) {
        const auto number = [&] { return Real(random.number()); };
        x.fill(number), h0.fill(number), bias.fill(number), dy.fill(number), dh_n.fill(number);
        weight_ih.fill([&] { return Real(random.number() / double(I)); });
        // Rows and columns whose magnitudes sum to at most 1: no step makes the largest error larger.
        weight_hh.fill([&] { return Real(random.number() / double(H)); });
        lengths.fill([&] { return std::int64_t(random.between(0, T)); });
        threads = int(random.between(1, 4));
    }

    // Whether one kernel gives what the loops below give.
    bool agrees(const nprnn::Engines& engines) {
        const nprnn::Inputs<Real> in{shape, tanh, reverse, linear, x.input(), h0.input(), weight_ih.input(),
                                     weight_hh.input(), bias.input(), lengths.input()};
        wants.clear();
        forward();
        y.fill(blank<Real>), h_n.fill(blank<Real>);
        nprnn::run_forward(engines, nprnn::Forward<Real>{in, y.at, h_n.at}, threads);
        bool good = matches("forward");

        // Differentiated at the loops' y, rounded.
        wants.clear();
        for (Size k = 0; k < Size(states.size()); ++k)
            y(k / (T * B * H), k / (B * H) % T, k / H % B, k % H) = Real(states[k]);
        backward();
        dx.fill(blank<Real>), dh0.fill(blank<Real>);
        dweight_ih.fill(blank<Real>), dweight_hh.fill(blank<Real>), dbias.fill(blank<Real>);
        nprnn::run_backward(engines,
                            nprnn::Backward<Real>{in, y.input(), dy.input(), dh_n.input(), dx.at, dh0.at, dweight_ih.at,
                                                  dweight_hh.at, dbias.at, summed},
                            threads);
        return matches("backward") && good;
    }

    bool clean() {
        bool good = lengths.clean();
        for (Tensor<Real>* v : {&x, &h0, &weight_ih, &weight_hh, &bias, &dy, &dh_n, &y, &h_n, &dx, &dh0, &dweight_ih,
                                &dweight_hh, &dbias})
            good = v->clean() && good;
        return good;
    }

    std::string name() const {
        const auto word = [](const char* key, Size value) { return key + std::to_string(value) + " "; };
        return word("E", E) + word("T", T) + word("B", B) + word("I", I) + word("H", H) + word("linear ", linear) +
               word("threads ", threads) + (tanh ? "tanh " : "relu ") + (reverse ? "reverse " : "") +
               (summed ? "summed " : "") + (lengths.present() ? "lengths " : "") +
               (sizeof(Real) == 4 ? "float" : "double");
    }

  private:
    const nprnn::Shape shape;
    const Size E, T, B, I, H;
    const bool tanh, reverse, summed;
    const Size linear;
    Tensor<Real> x, h0, weight_ih, weight_hh, bias, dy, dh_n, y, h_n, dx, dh0, dweight_ih, dweight_hh, dbias;
    Tensor<std::int64_t> lengths;
    int threads;

    struct Want {
        const char* name;
        const Real* got;
        double value, bound;
    };
    std::vector<Want> wants;
    std::vector<double> states;  // y [E,T,B,H]

    // Long, wide, of many rows, worth several threads, or none of these.
    static nprnn::Shape draw_shape(Random& random) {
        const auto draw = [&](Size low, Size high) { return random.between(low, high); };
        const Size members = random.coin() ? 1 : draw(2, 5);
        switch (draw(0, 5)) {
            case 0: return {members, draw(250, 600), 1, draw(1, 3), draw(1, 20)};
            case 1: return {1, draw(1, 4), draw(1, 3), draw(1, 40), draw(380, 530)};
            case 2: return {members, draw(1, 6), draw(60, 300), draw(1, 3), draw(1, 40)};
            case 3: return {members, draw(5, 20), draw(4, 9), draw(1, 3), draw(60, 140)};
            default: return {members, draw(1, 20), draw(1, 12), draw(1, 40), draw(1, 70)};
        }
    }

    Size own(Random& random) const { return random.coin() ? E : 1; }

    double state(Size e, Size t, Size b, Size i) const { return states[((e * T + t) * B + b) * H + i]; }
    Size length(Size e, Size b) { return lengths.present() ? Size(lengths(e, 0, b, 0)) : T; }
    static double epsilon() { return double(std::numeric_limits<Real>::epsilon()); }

    // The results above, and how far rounding may carry them: every step adds the error of one sum.
    void forward() {
        states.assign(std::size_t(E * T * B * H), 0);
        double largest = 0;
        for (Size e = 0; e < E; ++e)
            for (Size b = 0; b < B; ++b) {
                std::vector<double> h, next(static_cast<std::size_t>(H));
                for (Size i = 0; i < H; ++i) h.push_back(h0(e, 0, b, i));
                for (Size s = 0, n = length(e, b); s < n; ++s) {
                    const Size t = reverse ? n - 1 - s : s;
                    for (Size i = 0; i < H; ++i) {
                        Sum sum;
                        if (bias.present()) sum.add(bias(e, 0, 0, i), 1);
                        for (Size k = 0; k < I; ++k) sum.add(x(e, t, b, k), weight_ih(e, 0, i, k));
                        for (Size k = 0; k < H; ++k) sum.add(h[k], weight_hh(e, 0, i, k));
                        largest = std::max(largest, sum.size);
                        const double f = tanh ? std::tanh(sum.value) : std::max(sum.value, 0.0);
                        next[i] = i < linear ? sum.value : f;
                        states[((e * T + t) * B + b) * H + i] = next[i];
                    }
                    h = next;
                }
                for (Size i = 0; i < H; ++i) wants.push_back({"h_n", &h_n(e, 0, b, i), h[i], 0});
            }
        for (Size k = 0; k < E * T * B * H; ++k)
            wants.push_back({"y", &y(k / (T * B * H), k / (B * H) % T, k / H % B, k % H), states[k], 0});
        for (Want& want : wants) want.bound = double(T) * double(I + H + 8) * epsilon() * largest;
    }

    void backward() {
        std::vector<Sum> dwi(std::size_t(E * H * I)), dwh(std::size_t(E * H * H)), db(std::size_t(E * H));
        std::vector<std::pair<Want, Sum>> others;
        double largest = 0;
        for (Size e = 0; e < E; ++e)
            for (Size b = 0; b < B; ++b) {
                const Size n = length(e, b), to = summed ? 0 : e;
                std::vector<Sum> a(static_cast<std::size_t>(H));
                for (Size i = 0; i < H; ++i) a[i].add(dh_n.present() ? dh_n(e, 0, b, i) : 0, 1);
                for (Size s = n - 1; s >= 0; --s) {
                    const Size t = reverse ? n - 1 - s : s;
                    std::vector<double> dz(static_cast<std::size_t>(H));
                    for (Size i = 0; i < H; ++i) {
                        Sum& sum = a[i];
                        if (dy.present()) sum.add(dy(e, t, b, i), 1);
                        largest = std::max(largest, sum.size);
                        const double f = y(e, t, b, i);
                        dz[i] = sum.value * (i < linear ? 1 : tanh ? 1 - f * f : f > 0);
                        db[to * H + i].add(dz[i], 1);
                        for (Size k = 0; k < I; ++k)
                            dwi[(to * H + i) * I + k].add(dz[i], x(e, t, b, k));
                        for (Size k = 0; k < H; ++k)
                            dwh[(to * H + i) * H + k].add(
                                dz[i], s == 0 ? h0(e, 0, b, k) : y(e, reverse ? t + 1 : t - 1, b, k));
                    }
                    std::fill(a.begin(), a.end(), Sum());
                    for (Size i = 0; i < H; ++i)
                        for (Size k = 0; k < H; ++k) a[k].add(dz[i], weight_hh(e, 0, i, k));
                    for (Size k = 0; dx.present() && k < I; ++k) {
                        Sum sum;
                        for (Size i = 0; i < H; ++i) sum.add(dz[i], weight_ih(e, 0, i, k));
                        others.push_back({{"dx", &dx(e, t, b, k), 0, 0}, sum});
                    }
                }
                for (Size t = n; dx.present() && t < T; ++t)
                    for (Size k = 0; k < I; ++k) others.push_back({{"dx", &dx(e, t, b, k), 0, 0}, Sum()});
                for (Size k = 0; dh0.present() && k < H; ++k)
                    others.push_back({{"dh0", &dh0(e, 0, b, k), 0, 0}, a[k]});
            }
        for (Size e = 0; e < dweight_hh.members; ++e)
            for (Size i = 0; i < H; ++i) {
                for (Size k = 0; k < I; ++k)
                    others.push_back({{"dweight_ih", &dweight_ih(e, 0, i, k), 0, 0}, dwi[(e * H + i) * I + k]});
                for (Size k = 0; k < H; ++k)
                    others.push_back({{"dweight_hh", &dweight_hh(e, 0, i, k), 0, 0}, dwh[(e * H + i) * H + k]});
                if (dbias.present()) others.push_back({{"dbias", &dbias(e, 0, 0, i), 0, 0}, db[e * H + i]});
            }
        const double error = double(T + 1) * double(H + 8) * epsilon() * largest;
        const double terms = double(std::max(E * T * B, H) + 1);
        for (auto& [want, sum] : others) {
            want.value = sum.value;
            want.bound = error * sum.weight + terms * epsilon() * sum.size;
            wants.push_back(want);
        }
    }

    bool matches(const char* direction) const {
        for (const Want& want : wants) {
            const double error = std::fabs(double(*want.got) - want.value);
            // What is denormal is flushed.
            if (error <= want.bound + double(std::numeric_limits<Real>::min())) continue;
            std::printf("%s: %s is %.17g, not %.17g within %.3g: %s\n", direction, want.name, double(*want.got),
                        want.value, want.bound, name().c_str());
            return false;
        }
        return true;
    }
};

bool denormals() {
    volatile float small = 1e-30f;
    return small * 1e-10f != 0;
}

template <class Real>
bool agree(unsigned seed) {
    Random random(seed);
    Case<Real> problem(random);
    bool good = true;
    for (const nprnn::Engines* engines : nprnn::engines()) {
        bool fine = problem.agrees(*engines);
        if (!denormals()) {
            std::printf("the caller's denormal numbers are flushed: ");
            fine = false;
        }
        if (!fine) std::printf("^ %s, seed %u\n", engines->name, seed);
        good = good && fine;
    }
    if (problem.clean()) return good;
    std::printf("something was written beside a tensor: seed %u, %s\n", seed, problem.name().c_str());
    return false;
}

bool agree(unsigned cases, unsigned seed) {
    bool good = true;
    for (unsigned k = 0; k < cases; ++k) good = agree<float>(seed + k) && agree<double>(seed + k) && good;
    return good;
}

// A child has none of its parent's threads.
bool agree_after_fork(unsigned seed) {
    const pid_t child = fork();
    if (child == 0) {
        alarm(120);
        _exit(agree(8, seed) ? 0 : 1);
    }
    int status = 1;
    waitpid(child, &status, 0);
    return status == 0;
}

}  // namespace

int main(int count, char** words) {
    if (count < 4) return 2;
    const unsigned cases = unsigned(std::atoi(words[1])), seed = unsigned(std::atoi(words[2]));
    std::atomic<bool> good{std::string(nprnn::pool_name()) == "own"};
    std::vector<std::thread> callers;
    for (unsigned k = 0; k < unsigned(std::atoi(words[3])); ++k)
        callers.emplace_back([&good, cases, first = seed + k * cases] {
            if (!agree(cases, first)) good = false;
        });
    for (std::thread& caller : callers) caller.join();
    if (count == 5 && !agree_after_fork(seed)) good = false;
    for (const nprnn::Engines* engines : nprnn::engines()) std::printf("%s ", engines->name);
    std::printf("%s\n", good ? "agree" : "DISAGREE");
    return good ? 0 : 1;
}
