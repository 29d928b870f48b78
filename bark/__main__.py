"""``python -m bark``: the command line of the booth."""

import sys

from booth.cli.main import main

sys.exit(main())
