"""``python -m bark``: the command line of the booth."""

import sys

from booth.cli import main

sys.exit(main())
