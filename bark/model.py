"""Suno's import path of the networks of the first two stages."""

from bark.stages.gpt import GPT as GPT
from bark.stages.gpt import GPTConfig as GPTConfig
