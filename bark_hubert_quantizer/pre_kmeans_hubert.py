"""gitmylo's HuBERT under the import name of his pip package."""

from hubert.pre_kmeans_hubert import CustomHubert as CustomHubert
