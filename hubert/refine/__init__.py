"""Refine a cloned voice: speak takes in it, promote the best one if it is proven better."""

from .judges import JUDGES as JUDGES
from .judges import Judge as Judge
from .judges import SpeakerJudge as SpeakerJudge
from .judges import WordJudge as WordJudge
from .judges import load_judge as load_judge
from .refine import Refinement as Refinement
from .refine import Refiner as Refiner
from .refine import refine_voice as refine_voice
from .texts import Texts as Texts
from .trial import RULE as RULE
