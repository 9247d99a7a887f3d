"""What people look at: progress, tables, pictures, reports."""

from nprnn.reporting.clip_scores import ClipScores as ClipScores
from nprnn.reporting.clip_scores import scores_over_time as scores_over_time
from nprnn.reporting.clip_timeline import MOST_CLASSES as MOST_CLASSES
from nprnn.reporting.clip_timeline import clip_picture as clip_picture
from nprnn.reporting.clip_timeline import frames_to_show as frames_to_show
from nprnn.reporting.console import TrainingProgress as TrainingProgress
from nprnn.reporting.console import metrics_table as metrics_table
from nprnn.reporting.curves import Curve as Curve
from nprnn.reporting.curves import learning_curves as learning_curves
from nprnn.reporting.curves import run_state as run_state
from nprnn.reporting.judgement import Judgement as Judgement
from nprnn.reporting.judgement import judge as judge
from nprnn.reporting.judgement import judgement_picture as judgement_picture
from nprnn.reporting.judgement import judgement_tables as judgement_tables
from nprnn.reporting.judgement import prediction_rows as prediction_rows
from nprnn.reporting.members import find_runs as find_runs
from nprnn.reporting.page import write_picture as write_picture
from nprnn.reporting.page import write_record as write_record
from nprnn.reporting.page import write_report as write_report
from nprnn.reporting.page import write_tables as write_tables
from nprnn.reporting.report import Report as Report
from nprnn.reporting.report import assemble as assemble
from nprnn.reporting.success import Criterion as Criterion
from nprnn.reporting.success import wilson as wilson
from nprnn.reporting.tables import as_csv as as_csv
from nprnn.reporting.tensorboard import TensorBoard as TensorBoard
