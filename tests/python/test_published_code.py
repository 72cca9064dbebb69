"""Published code that rushlight computes itself, against formulas in float64."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
from cases import tiny
from numpy.typing import NDArray

from rushlight import Model
from rushlight.compat import SentenceTransformer

erf = np.vectorize(math.erf)
ACTIVATIONS = {"geglu": lambda x: x / 2 * (1 + erf(x / math.sqrt(2))), "reglu": lambda x: np.maximum(x, 0)}


def read(file: Path) -> dict[str, NDArray[np.float64]]:
    """Return the float32 tensors of a safetensors file in float64."""
    data = file.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    header.pop("__metadata__", None)

    def tensor(entry) -> NDArray[np.float64]:
        first, last = entry["data_offsets"]
        return np.frombuffer(data[start + first : start + last], "<f4").reshape(entry["shape"]).astype(np.float64)

    return {name: tensor(entry) for name, entry in header.items()}


def slopes(heads: int) -> NDArray[np.float64]:
    def powers(count: int) -> list[float]:
        return [2 ** (-8 * k / count) for k in range(1, count + 1)]

    below = 2 ** int(math.log2(heads))
    return np.array([*powers(below), *powers(2 * below)[::2]][:heads])


def jina_bert(folder: Path, ids: list[int]) -> NDArray[np.float64]:
    """Return the mean embedding of a text by JinaBERT v2 with ALiBi, in float64."""
    weights, config = read(folder / "model.safetensors"), json.loads((folder / "config.json").read_text())

    def norm(x: NDArray[np.float64], name: str) -> NDArray[np.float64]:
        centered = x - x.mean(1, keepdims=True)
        scaled = centered / np.sqrt((centered**2).mean(1, keepdims=True) + config["layer_norm_eps"])
        return scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    def linear(x: NDArray[np.float64], name: str) -> NDArray[np.float64]:
        return x @ weights[f"{name}.weight"].T + weights.get(f"{name}.bias", 0)

    heads = config["num_attention_heads"]
    x = weights["embeddings.word_embeddings.weight"][ids] + weights["embeddings.token_type_embeddings.weight"][0]
    x = norm(x, "embeddings.LayerNorm")
    positions = np.arange(len(ids))
    bias = -slopes(heads)[:, None, None] * np.abs(positions[:, None] - positions)
    for i in range(config["num_hidden_layers"]):
        layer = f"encoder.layer.{i}"
        of_heads = (linear(x, f"{layer}.attention.self.{part}") for part in ("query", "key", "value"))
        q, k, v = (part.reshape(len(ids), heads, -1).swapaxes(0, 1) for part in of_heads)
        scores = q @ k.swapaxes(1, 2) / math.sqrt(q.shape[2]) + bias
        shares = np.exp(scores - scores.max(2, keepdims=True))
        mixed = (shares / shares.sum(2, keepdims=True) @ v).swapaxes(0, 1).reshape(len(ids), -1)
        x = norm(x + linear(mixed, f"{layer}.attention.output.dense"), f"{layer}.attention.output.LayerNorm")
        gate, up = np.split(linear(x, f"{layer}.mlp.gated_layers"), 2, axis=1)
        activated = ACTIVATIONS[config["feed_forward_type"]](gate)
        x = norm(x + linear(activated * up, f"{layer}.mlp.wo"), f"{layer}.mlp.layernorm")
    return x.mean(0)


@pytest.mark.parametrize("kind", ACTIVATIONS)
def test_jina_bert_is_its_formula(kind: str, tmp_path: Path) -> None:
    case = tiny("jina-v2-base-en")
    shutil.copytree(case.model, tmp_path, dirs_exist_ok=True)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "feed_forward_type": kind}))
    rows = np.stack([jina_bert(tmp_path, ids) for ids in case.json("token_ids")])
    # The formula is that of the reference, which has no model of the other kind.
    assert (np.abs(rows - case.expected).max() < 1e-6) == (kind == "geglu")
    assert np.abs(Model(tmp_path).encode(case.texts) - rows).max() < case.tolerance


@pytest.mark.parametrize("kind", [Model, SentenceTransformer])
def test_pplx_has_no_output_but_the_default(kind: type) -> None:
    case = tiny("qwen3-both-ways-pplx")
    with pytest.raises(TypeError, match="quantization"):
        kind(str(case.model)).encode(case.texts, quantization="binary")
