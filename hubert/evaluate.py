"""``python -m hubert.evaluate``: measure a quantizer; the work is in `training.quantizer`."""

import sys

from training.quantizer.commands.evaluate import main

if __name__ == "__main__":
    sys.exit(main())
