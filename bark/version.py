"""The version, in one place."""

__version__ = "0.1.0"
SOFTWARE = f"bark-voice-booth {__version__}"
