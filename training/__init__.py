"""Trains Bark's parts: quantizers, one stage for a voice, and nano from nothing."""
