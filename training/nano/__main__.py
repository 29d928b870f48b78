"""``python -m training.nano``: make nano."""

import sys

from .command import main

sys.exit(main())
