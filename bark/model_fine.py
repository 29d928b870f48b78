"""Suno's import path of the network of the third stage."""

from bark.stages.gpt_fine import FineGPT as FineGPT
from bark.stages.gpt_fine import FineGPTConfig as FineGPTConfig
