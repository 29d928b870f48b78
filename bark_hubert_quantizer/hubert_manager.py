"""gitmylo's downloads under the import name of his pip package."""

from hubert.hubert_manager import HuBERTManager as HuBERTManager
