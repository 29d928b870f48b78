"""Recordings in, speech out: one reader for every file and array, one writer for every format."""

from .limiter import limited as limited
from .read import AudioSource as AudioSource
from .read import check_audio as check_audio
from .read import load_audio as load_audio
from .read import open_audio as open_audio
from .read import resample as resample
from .samples import samples_of as samples_of
from .write import AI_TAG as AI_TAG
from .write import FORMATS as FORMATS
from .write import encode_audio as encode_audio
from .write import save_audio as save_audio
