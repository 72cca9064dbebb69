"""Conversion of results to tensors if torch is installed, and of inputs to arrays."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from rushlight import SparseEmbeddings


def torch() -> Any:
    """Import torch; return None if it is not installed."""
    try:
        return importlib.import_module("torch")
    except ImportError:
        return None


def tensor(result: Any) -> Any:
    """Convert an array, or those in a list or dict, to a tensor that shares memory; unchanged without torch."""
    if isinstance(result, list):
        return [tensor(each) for each in result]
    if isinstance(result, dict):
        return {key: tensor(value) for key, value in result.items()}
    module = torch()
    return result if module is None else module.from_numpy(result)


def cast(result: Any, given: Any) -> Any:
    """Convert an array or tensor to the dtype of the input that it came from, if that is a float dtype."""
    name = dtype_of(getattr(given, "dtype", None))
    if name not in ("float16", "bfloat16", "float32", "float64"):
        return result
    return result.to(getattr(torch(), name)) if is_tensor(result) else result.astype(name)


def is_tensor(value: Any) -> bool:
    """Return True for a torch tensor."""
    return hasattr(value, "detach")


def dense(embeddings: Any) -> Any:
    """Convert embeddings for rushlight: sparse ones to dense ones, columns of a table to lists."""
    if hasattr(embeddings, "to_dense"):
        return embeddings.to_dense()
    if isinstance(embeddings, (list, tuple)):
        return [_dense_row(row) for row in embeddings]
    if hasattr(embeddings, "__array__"):
        array = np.asarray(embeddings)
        return list(array) if array.dtype == object else array
    return embeddings


def _dense_row(row: Any) -> Any:
    if isinstance(row, SparseEmbeddings) and len(row) == 1:
        return row.to_dense()[0]
    return row.to_dense() if hasattr(row, "to_dense") else row


def name_of(device: Any) -> Any:
    """Return the name of a `torch.device` or of a GPU's index, and anything else unchanged."""
    if isinstance(device, int) and not isinstance(device, bool):
        return f"cuda:{device}"
    return str(device) if hasattr(device, "type") and hasattr(device, "index") else device


def names_of(device: Any) -> Any:
    """Return the name of a device, or the names of those in a list or tuple."""
    return list(map(name_of, device)) if isinstance(device, (list, tuple)) else name_of(device)


def dtype_of(value: Any) -> str | None:
    """Return the name of a dtype of torch or numpy, and None for anything else."""
    if isinstance(value, type) and issubclass(value, np.generic):
        value = np.dtype(value)
    is_torchs = (type(value).__module__, type(value).__name__) == ("torch", "dtype")
    return str(value).removeprefix("torch.") if is_torchs or isinstance(value, np.dtype) else None
