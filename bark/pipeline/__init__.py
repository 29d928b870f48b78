"""The one orchestrator: `Bark`, which joins the stages."""

from .pipeline import Bark as Bark
from .pipeline import Generation as Generation
