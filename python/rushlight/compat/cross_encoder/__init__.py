"""`CrossEncoder`, by the path that it has in sentence-transformers."""

from rushlight.compat.cross_encoder.model import CrossEncoder

__all__ = ["CrossEncoder"]
