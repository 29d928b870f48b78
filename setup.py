"""Lets tools that still call setup.py build this project; everything is said in pyproject.toml."""

from setuptools import setup

setup()
