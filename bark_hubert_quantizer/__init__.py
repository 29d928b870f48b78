"""The import name of gitmylo's pip package; what it names is in `hubert`."""
