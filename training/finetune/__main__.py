"""``python -m training.finetune``: fine-tune a stage."""

import sys

from .train import main

sys.exit(main())
