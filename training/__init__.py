"""Recipes that train Bark's parts: corpus, HuBERT, codec and the three token models (repository
only).
"""
