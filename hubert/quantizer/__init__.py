"""Quantizers: HuBERT features to Bark's semantic tokens."""

from .base import Quantizer as Quantizer
from .files import load_quantizer as load_quantizer
from .kmeans import KMeansQuantizer as KMeansQuantizer
from .lstm import LSTMQuantizer as LSTMQuantizer
