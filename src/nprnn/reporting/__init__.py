"""What people look at: progress, tables, pictures, reports."""

from nprnn.reporting.console import TrainingProgress as TrainingProgress
from nprnn.reporting.console import metrics_table as metrics_table
from nprnn.reporting.curves import Curve as Curve
from nprnn.reporting.curves import learning_curves as learning_curves
from nprnn.reporting.page import by_task as by_task
from nprnn.reporting.page import find_runs as find_runs
from nprnn.reporting.page import write_report as write_report
