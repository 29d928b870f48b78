"""``python -m training.nano.report``: measure nano."""

import sys

from .command import main

sys.exit(main())
