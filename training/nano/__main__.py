"""``python -m training.nano``: make nano."""

import sys

from .recipe import main

sys.exit(main())
