"""Older path of `rushlight.compat.util.similarity`."""

from rushlight.compat.util.similarity import *  # noqa: F403
