"""The pictures and the page of a selection experiment: its grids, its test, its verdicts."""

from nprnn.reporting.selection.files import write_selection as write_selection
from nprnn.reporting.selection.grids import grid_picture as grid_picture
from nprnn.reporting.selection.page import selection_blocks as selection_blocks
from nprnn.reporting.selection.page import selection_pictures as selection_pictures
from nprnn.reporting.selection.tables import selection_csv as selection_csv
