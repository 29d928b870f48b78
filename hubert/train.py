"""``python -m hubert.train``: train a quantizer; the work is in `training.quantizer.train`."""

import sys

from training.quantizer.train import main

if __name__ == "__main__":
    sys.exit(main())
