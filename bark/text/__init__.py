"""Text: what can be spoken of it, its tokens, its parts, who says which."""

from bark.languages import SUPPORTED_LANGS as SUPPORTED_LANGS

from .bert import BertTextTokenizer as BertTextTokenizer
from .dialogue import Turn as Turn
from .dialogue import parse_dialogue as parse_dialogue
from .reading import Reading as Reading
from .split import Budget as Budget
from .split import split_text as split_text
from .tidy import TextTokenizer as TextTokenizer
from .tidy import tidy as tidy
