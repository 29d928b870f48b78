"""Voices: the history prompt that tells Bark whose voice to use, and the names that find one."""

from .mix import mix_voices as mix_voices
from .voice import KEYS as KEYS
from .voice import Voice as Voice
from .voice import VoiceLike as VoiceLike
from .voice import resolve_voice as resolve_voice
