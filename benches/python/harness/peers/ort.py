"""ONNX Runtime by hand, on the graph that its own optimizer fused: sorted by tokens, in small batches."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

PACKAGES = ("onnxruntime", "tokenizers", "numpy")


def load(model: str, threads: str, graph: str) -> Callable[[list[str]], NDArray[object]]:
    """Return what embeds texts by the file `graph`."""
    import numpy as np
    import onnxruntime

    from harness.peers._by_hand import Tokens, pooled

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(threads)
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    tokens = Tokens(model)

    def encode(texts: list[str]) -> NDArray[object]:
        result = np.empty((len(texts), 384), dtype=np.float32)
        for places, inputs in tokens.batches(texts):
            (states,) = session.run(None, inputs)
            result[places] = pooled(states, inputs["attention_mask"])
        return result

    return encode
