"""``python -m training.nano.report``: measure nano."""

import sys

from .report import main

sys.exit(main())
