"""The three stages: text to semantic tokens, to coarse codes, to fine codes; their networks and the
sampler.
"""

from .coarse import CoarseStage as CoarseStage
from .fine import FineStage as FineStage
from .gpt import GPT as GPT
from .gpt import GPTConfig as GPTConfig
from .gpt_fine import FineGPT as FineGPT
from .gpt_fine import FineGPTConfig as FineGPTConfig
from .sampling import Sampling as Sampling
from .semantic import SemanticStage as SemanticStage
