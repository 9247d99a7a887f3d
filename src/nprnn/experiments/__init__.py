"""The paper's tables and figures as data: what is run, how a setting is chosen, what would be shown, the numbers."""

from nprnn.experiments.catalogue import AnyExperiment as AnyExperiment
from nprnn.experiments.catalogue import catalogue as catalogue
from nprnn.experiments.catalogue import experiments as experiments
from nprnn.experiments.catalogue import find_experiment as find_experiment
from nprnn.experiments.concluding import conclude as conclude
from nprnn.experiments.findings import Cell as Cell
from nprnn.experiments.findings import Findings as Findings
from nprnn.experiments.findings import Grid as Grid
from nprnn.experiments.findings import Interval as Interval
from nprnn.experiments.findings import Row as Row
from nprnn.experiments.findings import Verdict as Verdict
from nprnn.experiments.findings import Yardstick as Yardstick
from nprnn.experiments.procedure import carry_out as carry_out
from nprnn.experiments.record import Record as Record
from nprnn.experiments.record import read_record as read_record
from nprnn.experiments.spec import Arm as Arm
from nprnn.experiments.spec import Claim as Claim
from nprnn.experiments.spec import Experiment as Experiment
from nprnn.experiments.spec import Published as Published
from nprnn.experiments.spec import Scale as Scale
from nprnn.experiments.spec import parse_experiment as parse_experiment
from nprnn.experiments.storing import RECORD as RECORD
