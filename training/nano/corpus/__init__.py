"""The speech that nano learns from."""
