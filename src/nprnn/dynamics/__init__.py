"""Why a start trains or fails: the network as a dynamical system, in numbers.

``System`` is a network in float64, ``run`` its states; of those, ``growth`` has gradients and perturbations,
``lyapunov`` exponents, ``spectra`` the weight and its active part, ``regions`` fixed points and cycles, and ``table``
one line for each start and size. ``reconstruction`` says how far a generated attractor is from the true one.
"""

from nprnn.dynamics.growth import Curve as Curve
from nprnn.dynamics.growth import geometric_mean as geometric_mean
from nprnn.dynamics.growth import gradient_curve as gradient_curve
from nprnn.dynamics.growth import input_curve as input_curve
from nprnn.dynamics.growth import tangent_curve as tangent_curve
from nprnn.dynamics.lyapunov import Lyapunov as Lyapunov
from nprnn.dynamics.lyapunov import lyapunov_spectrum as lyapunov_spectrum
from nprnn.dynamics.orbits import Orbit as Orbit
from nprnn.dynamics.reconstruction import power_spectrum_distance as power_spectrum_distance
from nprnn.dynamics.reconstruction import state_space_divergence as state_space_divergence
from nprnn.dynamics.regions import Orbits as Orbits
from nprnn.dynamics.regions import find_cycles as find_cycles
from nprnn.dynamics.regions import find_fixed_points as find_fixed_points
from nprnn.dynamics.spectra import active_radii as active_radii
from nprnn.dynamics.spectra import departure_from_normality as departure_from_normality
from nprnn.dynamics.spectra import eigenvalues as eigenvalues
from nprnn.dynamics.spectra import numerical_radius as numerical_radius
from nprnn.dynamics.spectra import singular_values as singular_values
from nprnn.dynamics.spectra import spectral_radius as spectral_radius
from nprnn.dynamics.system import System as System
from nprnn.dynamics.table import GrowthRow as GrowthRow
from nprnn.dynamics.table import growth_table as growth_table
from nprnn.dynamics.trajectory import Trajectory as Trajectory
from nprnn.dynamics.trajectory import run as run
