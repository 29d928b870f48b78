"""Codecs: audio to codes and back."""

from .base import Codec as Codec
from .encodec import EncodecCodec as EncodecCodec
from .mel import MelCodec as MelCodec
