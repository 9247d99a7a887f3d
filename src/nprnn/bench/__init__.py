"""Measuring: the recurrence against its rivals, interleaved in one run, and against the machine's limits."""

from nprnn.bench.measuring import line_up as line_up
from nprnn.bench.measuring import measure as measure
from nprnn.bench.measuring import race as race
from nprnn.bench.records import make_record as make_record
from nprnn.bench.records import write_record as write_record
from nprnn.bench.shapes import SHAPES as SHAPES
from nprnn.bench.shapes import Shape as Shape
from nprnn.bench.shapes import find_shape as find_shape
from nprnn.bench.threads import limited as limited
from nprnn.bench.timing import Times as Times
from nprnn.bench.timing import interleave as interleave
from nprnn.bench.timing import ratio as ratio
