"""Figures that more than one report needs."""

from bark.text.distance import edit_distance as edit_distance
