"""One visible training loop."""

from nprnn.training.config import TrainConfig as TrainConfig
from nprnn.training.loop import Listener as Listener
from nprnn.training.loop import batches as batches
from nprnn.training.loop import evaluate as evaluate
from nprnn.training.loop import start_model as start_model
from nprnn.training.loop import train as train
from nprnn.training.presets import PRESETS as PRESETS
from nprnn.training.presets import Preset as Preset
from nprnn.training.presets import find_preset as find_preset
from nprnn.training.sessions import Restored as Restored
from nprnn.training.sessions import environment as environment
from nprnn.training.sessions import restore as restore
from nprnn.training.sessions import start_run as start_run
