"""``python -m hubert``: clone a voice."""

import sys

from booth.cli.clone import main

sys.exit(main())
