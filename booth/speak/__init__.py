"""A request to speak: planned, cast, spoken, kept, and repeated from its record."""
