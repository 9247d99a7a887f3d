"""Starts and runs as dynamical systems: what is analysed, its numbers, pictures, page and files."""

from nprnn.reporting.dynamics.files import write_analysis as write_analysis
from nprnn.reporting.dynamics.files import write_analysis_tables as write_analysis_tables
from nprnn.reporting.dynamics.numbers import quantities as quantities
from nprnn.reporting.dynamics.page import about as about
from nprnn.reporting.dynamics.page import numbers_table as numbers_table
from nprnn.reporting.dynamics.pictures import analysis_pictures as analysis_pictures
from nprnn.reporting.dynamics.portrait import Effort as Effort
from nprnn.reporting.dynamics.portrait import Portrait as Portrait
from nprnn.reporting.dynamics.portrait import portray as portray
from nprnn.reporting.dynamics.record import write_analysis_record as write_analysis_record
from nprnn.reporting.dynamics.rows import Portrayed as Portrayed
from nprnn.reporting.dynamics.rows import told_apart as told_apart
from nprnn.reporting.dynamics.run_subjects import LSTM as LSTM
from nprnn.reporting.dynamics.run_subjects import run_subject as run_subject
from nprnn.reporting.dynamics.subjects import Inputs as Inputs
from nprnn.reporting.dynamics.subjects import Stage as Stage
from nprnn.reporting.dynamics.subjects import Subject as Subject
from nprnn.reporting.dynamics.subjects import start_subject as start_subject
