"""Comparisons: models trained by one protocol at several values of an axis, beside the bars of a figure."""

from nprnn.experiments.comparison.axis import At as At
from nprnn.experiments.comparison.axis import Value as Value
from nprnn.experiments.comparison.beside import Course as Course
from nprnn.experiments.comparison.beside import Reference as Reference
from nprnn.experiments.comparison.findings import BEST_ON_TEST as BEST_ON_TEST
from nprnn.experiments.comparison.findings import FINAL as FINAL
from nprnn.experiments.comparison.findings import READINGS as READINGS
from nprnn.experiments.comparison.findings import Asked as Asked
from nprnn.experiments.comparison.findings import Bar as Bar
from nprnn.experiments.comparison.findings import ClaimVerdict as ClaimVerdict
from nprnn.experiments.comparison.findings import ComparisonFindings as ComparisonFindings
from nprnn.experiments.comparison.findings import conclude_comparison as conclude_comparison
from nprnn.experiments.comparison.procedure import carry_out_comparison as carry_out_comparison
from nprnn.experiments.comparison.ranking import Near as Near
from nprnn.experiments.comparison.ranking import Ranked as Ranked
from nprnn.experiments.comparison.ranking import Ranking as Ranking
from nprnn.experiments.comparison.reading import parse_comparison as parse_comparison
from nprnn.experiments.comparison.record import Choice as Choice
from nprnn.experiments.comparison.record import ComparisonRecord as ComparisonRecord
from nprnn.experiments.comparison.record import Trained as Trained
from nprnn.experiments.comparison.record import Trial as Trial
from nprnn.experiments.comparison.record import read_comparison_record as read_comparison_record
from nprnn.experiments.comparison.spec import Comparison as Comparison
from nprnn.experiments.comparison.trials import Tried as Tried
from nprnn.experiments.comparison.trials import Tuned as Tuned
from nprnn.experiments.comparison.tune import Tune as Tune
