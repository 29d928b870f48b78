"""``python -m hubert.train``: train a quantizer; the work is in `training.quantizer`."""

import sys

from training.quantizer.commands.train import main

if __name__ == "__main__":
    sys.exit(main())
