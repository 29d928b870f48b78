"""Bytes in files: downloads, checkpoints, npz archives, and files that are written whole or not at
all.
"""
