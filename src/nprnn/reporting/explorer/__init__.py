"""The explorer: one HTML page, without a network, on the phase plane of two ReLU units."""

from nprnn.reporting.explorer.explorer import settings as settings
from nprnn.reporting.explorer.explorer import write_explorer as write_explorer
from nprnn.reporting.explorer.opening import explorer_address as explorer_address
from nprnn.reporting.explorer.opening import explorer_settings as explorer_settings
