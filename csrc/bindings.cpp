// The native module: addresses and sizes in, nothing out.  The one caller is nprnn/ops/cpu.py, which checks everything.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <cstdint>
#include <string>
#include <vector>

#include "operator.hpp"
#include "streamer.hpp"
#include "threads.hpp"

namespace nb = nanobind;

namespace {

using nprnn::Rows;
using nprnn::Size;
using Address = std::uintptr_t;

std::vector<std::string> instruction_sets() {
    std::vector<std::string> names;
    for (const nprnn::Engines* engines : nprnn::engines()) names.emplace_back(engines->name);
    return names;
}

template <class Real>
Rows<Real> rows(Address data, Size member, Size step, Size row) {
    return {reinterpret_cast<Real*>(data), member, step, row};
}

// The arguments shared by both directions; only x may have any strides but the last, which is 1.
struct Common {
    Size E, T, B, I, H;
    bool tanh, reverse;
    Size linear;
    Address x;
    Size x_e, x_t, x_b;
    Address h0;
    Size h0_e;
    Address weight_ih;
    Size weight_ih_e;
    Address weight_hh;
    Size weight_hh_e;
    Address bias;
    Size bias_e;
    Address lengths;
    Size lengths_e;

    template <class Real>
    nprnn::Inputs<Real> inputs() const {
        return {{E, T, B, I, H},
                tanh,
                reverse,
                linear,
                rows<const Real>(x, x_e, x_t, x_b),
                rows<const Real>(h0, h0_e, 0, H),
                rows<const Real>(weight_ih, weight_ih_e, 0, I),
                rows<const Real>(weight_hh, weight_hh_e, 0, H),
                rows<const Real>(bias, bias_e, 0, 0),
                rows<const std::int64_t>(lengths, lengths_e, 0, 1)};
    }
};

template <class Real>
void forward(const nprnn::Engines& engines, int threads, const Common& c, Address y, Address h_n) {
    const nprnn::Forward<Real> problem{c.inputs<Real>(), rows<Real>(y, c.T * c.B * c.H, c.B * c.H, c.H),
                                       rows<Real>(h_n, c.B * c.H, 0, c.H)};
    nprnn::run_forward(engines, problem, threads);
}

struct Cotangents {
    Address y, dy;
    Size dy_e, dy_t, dy_b;
    Address dh_n;
    Size dh_n_e;
    Address dx, dh0, dweight_ih, dweight_hh, dbias;
    bool summed;
};

template <class Real>
void backward(const nprnn::Engines& engines, int threads, const Common& c, const Cotangents& g) {
    const Size own = g.summed ? 0 : 1;
    const nprnn::Backward<Real> problem{c.inputs<Real>(),
                                        rows<const Real>(g.y, c.T * c.B * c.H, c.B * c.H, c.H),
                                        rows<const Real>(g.dy, g.dy_e, g.dy_t, g.dy_b),
                                        rows<const Real>(g.dh_n, g.dh_n_e, 0, c.H),
                                        rows<Real>(g.dx, c.T * c.B * c.I, c.B * c.I, c.I),
                                        rows<Real>(g.dh0, c.B * c.H, 0, c.H),
                                        rows<Real>(g.dweight_ih, own * c.H * c.I, 0, c.I),
                                        rows<Real>(g.dweight_hh, own * c.H * c.H, 0, c.H),
                                        rows<Real>(g.dbias, own * c.H, 0, 0),
                                        g.summed};
    nprnn::run_backward(engines, problem, threads);
}

template <class Real>
void bind_streamer(nb::module_& m, const char* name) {
    using Streamer = nprnn::Streamer<Real>;
    nb::class_<Streamer>(m, name)
        .def("__init__",
             [](Streamer* self, int set, Size streams) {
                 new (self) Streamer(*nprnn::engines().at(std::size_t(set)), streams);
             },
             nb::arg("set"), nb::arg("streams") = 1)
        .def("add",
             [](Streamer& self, Size inputs, Size hidden, bool tanh, Size linear, Address weight_ih, Address weight_hh,
                Address bias, Address state) {
                 self.add({inputs, hidden, tanh, linear, reinterpret_cast<const Real*>(weight_ih),
                           reinterpret_cast<const Real*>(weight_hh), reinterpret_cast<const Real*>(bias)},
                          reinterpret_cast<Real*>(state));
             })
        .def("standardise",
             [](Streamer& self, Address mean, Address scale) {
                 self.standardise(reinterpret_cast<const Real*>(mean), reinterpret_cast<const Real*>(scale));
             })
        .def("step", [](Streamer& self, Address x) { return self.run(reinterpret_cast<const Real*>(x), 1, nullptr); })
        .def("run",
             [](Streamer& self, Address x, Size steps, Address out) {
                 nb::gil_scoped_release released;
                 return self.run(reinterpret_cast<const Real*>(x), steps, reinterpret_cast<Real*>(out));
             })
        // What a call costs by itself, to measure a step against.
        .def("nothing", [](Streamer&, Address) {});
}

}  // namespace

NB_MODULE(_native, m) {
    m.doc() = "Native part of nprnn.";
    m.attr("compiler") = NPRNN_COMPILER;
    m.def("instruction_sets", &instruction_sets, "Instruction sets this processor runs, the most capable last.");
    m.def("pool", &nprnn::pool_name, "Whose threads the kernel runs on.");

    bind_streamer<float>(m, "Streamer32");
    bind_streamer<double>(m, "Streamer64");

    m.def("forward", [](int set, int threads, bool twofold, Size E, Size T, Size B, Size I, Size H, bool tanh,
                        bool reverse, Size linear, Address x, Size x_e, Size x_t, Size x_b, Address h0, Size h0_e,
                        Address weight_ih, Size weight_ih_e, Address weight_hh, Size weight_hh_e, Address bias,
                        Size bias_e, Address lengths, Size lengths_e, Address y, Address h_n) {
        const Common c{E,  T,    B,         I,           H,         tanh,        reverse, linear, x,       x_e,      x_t, x_b,
                       h0, h0_e, weight_ih, weight_ih_e, weight_hh, weight_hh_e, bias,    bias_e, lengths, lengths_e};
        const nprnn::Engines& engines = *nprnn::engines().at(std::size_t(set));
        nb::gil_scoped_release released;
        twofold ? forward<double>(engines, threads, c, y, h_n) : forward<float>(engines, threads, c, y, h_n);
    });

    m.def("backward", [](int set, int threads, bool twofold, Size E, Size T, Size B, Size I, Size H, bool tanh,
                         bool reverse, Size linear, Address x, Size x_e, Size x_t, Size x_b, Address h0, Size h0_e,
                         Address weight_ih, Size weight_ih_e, Address weight_hh, Size weight_hh_e, Address bias,
                         Size bias_e, Address lengths, Size lengths_e, Address y, Address dy, Size dy_e, Size dy_t,
                         Size dy_b, Address dh_n, Size dh_n_e, Address dx, Address dh0, Address dweight_ih,
                         Address dweight_hh, Address dbias, bool summed) {
        const Common c{E,  T,    B,         I,           H,         tanh,        reverse, linear, x,       x_e,      x_t, x_b,
                       h0, h0_e, weight_ih, weight_ih_e, weight_hh, weight_hh_e, bias,    bias_e, lengths, lengths_e};
        const Cotangents g{y, dy, dy_e, dy_t, dy_b, dh_n, dh_n_e, dx, dh0, dweight_ih, dweight_hh, dbias, summed};
        const nprnn::Engines& engines = *nprnn::engines().at(std::size_t(set));
        nb::gil_scoped_release released;
        twofold ? backward<double>(engines, threads, c, g) : backward<float>(engines, threads, c, g);
    });
}
