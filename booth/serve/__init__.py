"""The HTTP server: speech, voices and long jobs in OpenAI's shape. Needs the extra ``[serve]``."""
