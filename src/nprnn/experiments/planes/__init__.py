"""Experiments on phase planes of two units, and on gradients at the start: nothing is trained."""

from nprnn.experiments.planes.findings import FateVerdict as FateVerdict
from nprnn.experiments.planes.findings import NumberVerdict as NumberVerdict
from nprnn.experiments.planes.findings import PlanesFindings as PlanesFindings
from nprnn.experiments.planes.findings import conclude_planes as conclude_planes
from nprnn.experiments.planes.plane import FixedSet as FixedSet
from nprnn.experiments.planes.plane import Plane as Plane
from nprnn.experiments.planes.plane import Ray as Ray
from nprnn.experiments.planes.plane import Turn as Turn
from nprnn.experiments.planes.procedure import carry_out_planes as carry_out_planes
from nprnn.experiments.planes.record import PlanesRecord as PlanesRecord
from nprnn.experiments.planes.record import read_planes_record as read_planes_record
from nprnn.experiments.planes.spec import Planes as Planes
from nprnn.experiments.planes.spec import parse_planes as parse_planes
