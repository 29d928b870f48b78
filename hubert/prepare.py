"""``python -m hubert.prepare``: prepare pairs for training; the work is in `training.quantizer`."""

import sys

from training.quantizer.commands.prepare import main

if __name__ == "__main__":
    sys.exit(main())
