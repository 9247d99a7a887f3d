"""One visible training loop."""

from nprnn.training.config import TrainConfig as TrainConfig
from nprnn.training.draws import batches as batches
from nprnn.training.interrupt import Interrupt as Interrupt
from nprnn.training.loop import Listener as Listener
from nprnn.training.loop import train as train
from nprnn.training.loop import train_ensemble as train_ensemble
from nprnn.training.machine import environment as environment
from nprnn.training.members import Member as Member
from nprnn.training.members import Outcome as Outcome
from nprnn.training.members import check_fits as check_fits
from nprnn.training.members import ensemble_key as ensemble_key
from nprnn.training.members import load_weights as load_weights
from nprnn.training.members import start_model as start_model
from nprnn.training.presets import PRESETS as PRESETS
from nprnn.training.presets import Preset as Preset
from nprnn.training.presets import find_preset as find_preset
from nprnn.training.readings import CHOSEN as CHOSEN
from nprnn.training.readings import readings as readings
from nprnn.training.readout import evaluate as evaluate
from nprnn.training.readout import judged_at as judged_at
from nprnn.training.readout import predict as predict
from nprnn.training.sessions import Trained as Trained
from nprnn.training.sessions import load_data as load_data
from nprnn.training.sessions import load_trained as load_trained
from nprnn.training.sessions import start_run as start_run
