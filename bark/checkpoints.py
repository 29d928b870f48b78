"""Turns a model's name into its files, and those into ready networks, codec and tokenizer."""

from .formats import load_stage
from .weights import FAIRSEQ_STAND_INS, read_torch_file, read_weights

__all__ = ["FAIRSEQ_STAND_INS", "load_stage", "read_torch_file", "read_weights"]
