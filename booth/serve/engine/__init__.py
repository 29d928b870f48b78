"""One loaded model and the queue in front of it; nothing here knows of HTTP."""

from .engine import Engine as Engine
from .handle import EngineFailed as EngineFailed
from .handle import Handle as Handle
from .handle import QueueFull as QueueFull
from .handle import SpeechJob as SpeechJob
from .handle import Stopping as Stopping
from .metrics import Metrics as Metrics
