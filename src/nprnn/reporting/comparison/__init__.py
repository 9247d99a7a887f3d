"""The pictures and the page of a comparison: bars beside the paper's, curves, claims; and the claims of all of them."""

from nprnn.reporting.comparison.claims_page import comparisons_in as comparisons_in
from nprnn.reporting.comparison.claims_page import reasons_in as reasons_in
from nprnn.reporting.comparison.claims_page import reproduction_page as reproduction_page
from nprnn.reporting.comparison.files import write_comparison as write_comparison
from nprnn.reporting.comparison.page import comparison_blocks as comparison_blocks
from nprnn.reporting.comparison.page import comparison_pictures as comparison_pictures
from nprnn.reporting.comparison.tables import comparison_csv as comparison_csv
