"""Text of any length: planned, spoken part by part, joined, and resumed after a kill."""

from .join import join_audio as join_audio
from .plan import plan_parts as plan_parts
from .speak import LongTake as LongTake
from .speak import Part as Part
from .speak import speak_long as speak_long
from .speak import speak_parts as speak_parts
from .speak import speak_turn as speak_turn
