"""One stage of Bark fine-tuned on a voice."""
