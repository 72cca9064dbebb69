"""fastembed as shipped, told of a model in a local folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

PACKAGES = ("fastembed", "onnxruntime", "tokenizers", "numpy")


def load(model: str, threads: str) -> Callable[[list[str]], NDArray[object]]:
    """Return what embeds texts by the folder's onnx/model.onnx."""
    import numpy as np
    from fastembed import TextEmbedding
    from fastembed.common.model_description import ModelSource, PoolingType

    TextEmbedding.add_custom_model(
        model="rushlight/bench",
        pooling=PoolingType.MEAN,
        normalization=True,
        sources=ModelSource(hf="rushlight/bench"),
        dim=384,
        model_file="onnx/model.onnx",
    )
    loaded = TextEmbedding("rushlight/bench", specific_model_path=model, threads=int(threads))
    return lambda texts: np.stack(list(loaded.embed(texts)))
