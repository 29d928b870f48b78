"""Models on disk and on the hub: a name to its files, and those to networks."""

from .find import ModelFiles as ModelFiles
from .find import find_model as find_model
from .formats import load_stage as load_stage
