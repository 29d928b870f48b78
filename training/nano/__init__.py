"""nano from nothing: corpus, HuBERT, codec, the three stages."""
