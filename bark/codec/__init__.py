"""Codecs: audio to codes and back."""

from .base import Codec as Codec
from .decoder import with_decoder as with_decoder
from .encodec import EncodecCodec as EncodecCodec
from .mel import MelCodec as MelCodec
from .vocos import VocosCodec as VocosCodec
