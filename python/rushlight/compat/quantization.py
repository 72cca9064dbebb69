"""Older path of `rushlight.compat.util.quantization`."""

from rushlight.compat.util.quantization import *  # noqa: F403
