"""``python -m hubert.synthesize``: make pairs with Bark; the work is in `training.quantizer`."""

import sys

from training.quantizer.commands.synthesize import main

if __name__ == "__main__":
    sys.exit(main())
