"""``python -m nprnn`` is ``nprnn``."""

import sys

from nprnn.cli import main

sys.exit(main())
