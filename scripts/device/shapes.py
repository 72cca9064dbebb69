"""Write models with the shapes of well-known ones and random weights: a small model of the tests, enlarged.

Throughput depends on shapes, not on numbers, so a machine without a network can measure it. Vocabularies stay small.
"""

from __future__ import annotations

import json
import re
import shutil
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

LAYER = re.compile(r"^(.*layers?\.)(\d+)(\..*)$")
POSITIONS = 514


@dataclass(frozen=True)
class Shape:
    """Sizes of a transformer."""

    case: str
    """Small model of the tests with its architecture."""
    hidden: int
    intermediate: int
    heads: int
    layers: int
    config: tuple[tuple[str, Any], ...] = ()
    """Further keys of its config."""


SHAPES = {
    "MiniLM-L6": Shape("bert-mean-normalize", 384, 1536, 12, 6),
    "mpnet-base": Shape("mpnet-mean-normalize", 768, 3072, 12, 12),
    "bge-large": Shape("bert-mean-normalize", 1024, 4096, 16, 24),
    "modernbert-base": Shape(
        "modernbert-mean", 768, 1152, 12, 22, (("global_attn_every_n_layers", 3), ("local_attention", 128))
    ),
}


def write(name: str, folder: Path) -> Path:
    """Write the model of a shape into a folder below `folder`, unless it is there, and return its path."""
    from cases import tiny

    shape, model = SHAPES[name], folder / name
    if model.is_dir():
        return model
    partial = folder / f".partial-{name}"
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(tiny(shape.case).model, partial)
    config = json.loads((partial / "config.json").read_text())
    sizes = enlarge_config(partial, config, shape)
    tensors = read(partial / "model.safetensors")
    save(partial / "model.safetensors", enlarged(tensors, config, sizes, shape))
    partial.rename(model)
    return model


def enlarge_config(folder: Path, config: dict[str, Any], shape: Shape) -> dict[int, int]:
    """Write the shape into the folder's JSON files, and return the new size of each old one."""
    sizes = {
        config["hidden_size"]: shape.hidden,
        3 * config["hidden_size"]: 3 * shape.hidden,
        config["intermediate_size"]: shape.intermediate,
        config["max_position_embeddings"]: POSITIONS,
    }
    new = {
        "hidden_size": shape.hidden,
        "intermediate_size": shape.intermediate,
        "num_attention_heads": shape.heads,
        "num_hidden_layers": shape.layers,
        "max_position_embeddings": POSITIONS,
    }
    kept = {key: value for key, value in config.items() if key != "layer_types"}
    (folder / "config.json").write_text(json.dumps({**kept, **new, **dict(shape.config)}))
    pooling = folder / "1_Pooling/config.json"
    text = pooling.read_text()
    pooling.write_text(re.sub(r'(embedding_dimension": )\d+', rf"\g<1>{shape.hidden}", text))
    lengths = folder / "sentence_bert_config.json"
    lengths.write_text(json.dumps({**json.loads(lengths.read_text()), "max_seq_length": 512}))
    return sizes


def enlarged(
    tensors: dict[str, tuple[int, ...]], config: dict[str, Any], sizes: dict[int, int], shape: Shape
) -> dict[str, NDArray[np.float32]]:
    """Return random tensors for the enlarged model, with as many layers as it has."""
    random = np.random.default_rng(0)
    result = {}
    for name, dims in tensors.items():
        if "relative_attention_bias" in name:
            dims = (dims[0], shape.heads)  # noqa: PLW2901
        elif name.endswith(".Wi.weight"):
            dims = (2 * shape.intermediate, shape.hidden)  # noqa: PLW2901
        else:
            dims = tuple(sizes.get(size, size) for size in dims)  # noqa: PLW2901
        for copy in copies(name, config["num_hidden_layers"], shape.layers):
            weights = random.standard_normal(dims, dtype=np.float32) * 0.02
            result[copy] = weights + 1 if name.lower().endswith("norm.weight") else weights
    return result


def copies(name: str, old: int, new: int) -> list[str]:
    """Return the names of a tensor in all layers that have it: the last small layer stands for all further ones."""
    found = LAYER.match(name)
    if found is None:
        return [name]
    first = int(found[2])
    last = new if first == old - 1 else first + 1
    return [f"{found[1]}{layer}{found[3]}" for layer in range(first, last)]


def read(file: Path) -> dict[str, tuple[int, ...]]:
    """Return the shapes of a safetensors file."""
    with file.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        header = json.loads(stream.read(length))
    return {name: tuple(tensor["shape"]) for name, tensor in header.items() if name != "__metadata__"}


def save(file: Path, tensors: dict[str, NDArray[np.float32]]) -> None:
    """Write tensors of float32 as safetensors."""
    header, end = {}, 0
    for name, tensor in tensors.items():
        header[name] = {"dtype": "F32", "shape": tensor.shape, "data_offsets": [end, end + tensor.nbytes]}
        end += tensor.nbytes
    text = json.dumps(header).encode()
    with file.open("wb") as stream:
        stream.write(struct.pack("<Q", len(text)) + text)
        for tensor in tensors.values():
            stream.write(tensor.tobytes())
