"""Words typed after `bark`, as requests."""

from .main import main as main
