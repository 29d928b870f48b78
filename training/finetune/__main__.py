"""``python -m training.finetune``: fine-tune a stage."""

import sys

from .command import main

sys.exit(main())
