"""A model as a Python package: its folder lies beside this file."""

from pathlib import Path

PATH = Path(__file__).parent / "model"
