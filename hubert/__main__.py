"""``python -m hubert``: clone a voice."""

import sys

from .clone import main

sys.exit(main())
