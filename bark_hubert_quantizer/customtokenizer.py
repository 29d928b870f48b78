"""gitmylo's quantizer under the import name of his pip package."""

from hubert.customtokenizer import CustomTokenizer as CustomTokenizer
from hubert.customtokenizer import Data as Data
from hubert.customtokenizer import auto_train as auto_train
