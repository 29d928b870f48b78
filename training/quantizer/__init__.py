"""Quantizers: pairs made, prepared, trained on, evaluated."""
