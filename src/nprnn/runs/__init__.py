"""A run is a folder: create, open, record, checkpoint, resume."""

from nprnn.runs.checkpoint import Checkpoint as Checkpoint
from nprnn.runs.run import BEST as BEST
from nprnn.runs.run import DIVERGED as DIVERGED
from nprnn.runs.run import LAST as LAST
from nprnn.runs.run import PREVIOUS as PREVIOUS
from nprnn.runs.run import WINDOW as WINDOW
from nprnn.runs.run import Run as Run
