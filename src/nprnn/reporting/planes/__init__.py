"""The pictures and the page of an experiment on phase planes and on gradients at the start."""

from nprnn.reporting.planes.files import write_planes as write_planes
from nprnn.reporting.planes.page import planes_blocks as planes_blocks
from nprnn.reporting.planes.page import planes_pictures as planes_pictures
from nprnn.reporting.planes.tables import planes_csv as planes_csv
