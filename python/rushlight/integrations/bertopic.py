"""Embedding model for BERTopic."""

from __future__ import annotations

from rushlight.integrations._embedder import Embedding
from rushlight.integrations._requires import requires

with requires("bertopic"):
    from bertopic.backend import BaseEmbedder


class RushlightEmbedder(Embedding, BaseEmbedder):
    """Embedding model for `BERTopic(embedding_model=RushlightEmbedder(model))`.

    Parameters
    ----------
    model
        Name or folder of a model, which is loaded when it is first needed, or a `rushlight.Model`.
    **options
        Arguments of `rushlight.Model`, and `normalize_embeddings`, `truncate_dim` and `truncation` of `encode`.
    """
