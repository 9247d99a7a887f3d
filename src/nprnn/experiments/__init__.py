"""The paper's tables and figures as data: what is run, how a setting is chosen, what would be shown, the numbers."""

from nprnn.experiments.spec import Arm as Arm
from nprnn.experiments.spec import Claim as Claim
from nprnn.experiments.spec import Experiment as Experiment
from nprnn.experiments.spec import Published as Published
from nprnn.experiments.spec import experiments as experiments
from nprnn.experiments.spec import find_experiment as find_experiment
from nprnn.experiments.spec import parse_experiment as parse_experiment
