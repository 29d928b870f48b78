"""Suno's objects, as code written for suno-ai/bark and for its cloning forks calls them.

The decoding path does not come through here: each object wraps one of ours and answers with the
names, shapes and returns of the original. `load` and `convert_audio` stand in for those of
torchaudio and encodec, which cloning scripts import beside Bark."""

from .codec import SunoCodec as SunoCodec
from .codec import convert_audio as convert_audio
from .codec import load as load
from .network import SunoGPT as SunoGPT
from .network import SunoTokenizer as SunoTokenizer
from .speaker import SunoBark as SunoBark
