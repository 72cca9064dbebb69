"""Quantized embeddings, and search among them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rushlight import _arguments, _core
from rushlight.exceptions import InvalidArgumentError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rushlight._core import _Corpus

PRECISIONS = ("float32", "int8", "uint8", "binary", "ubinary")
_BITS = {"binary", "ubinary"}
_SIGNED = {"int8", "binary"}
_BLOCK = 4096  # rows


def quantized(embeddings: NDArray[np.float32], precision: str) -> NDArray[Any]:
    """Return embeddings in a precision; int8 and uint8 take their ranges from these embeddings."""
    return embeddings if precision == "float32" else _core.quantize(embeddings, precision)


class Options(NamedTuple):
    """Arguments of `util.semantic_search` for quantized corpora and for rescoring."""

    precision: str
    ranges: Any
    calibration_embeddings: Any
    rescore: bool
    rescore_multiplier: int
    rescore_embeddings: Any


class Code(NamedTuple):
    """Meaning of the bytes of quantized embeddings."""

    precision: str
    dim: int
    ranges: NDArray[np.float32] | None

    def bounds(self, name: str) -> NDArray[np.float32]:
        """Return the ranges; `name` is the argument that needs them."""
        if self.ranges is None:
            problem = f"must be given for {name} of {self.precision}: the ones they were quantized with"
            raise InvalidArgumentError(f"ranges: {problem}")
        return self.ranges

    def stored(self, name: str, embeddings: Any) -> _Corpus:
        """Return embeddings of this code, `(m, columns)`, for the extension module."""
        bits = self.precision in _BITS
        columns = -(-self.dim // 8) if bits else self.dim
        values = packed(name, embeddings, self.precision)
        if values.shape == (0, 0):
            values = np.empty((0, columns), values.dtype)
        if values.shape[1] != columns:
            problem = f"must have {columns} bytes in a row for {self.dim} dimensions, got {values.shape[1]}"
            raise InvalidArgumentError(f"{name}: {problem}")
        return {"values": values, "precision": self.precision, "ranges": None if bits else self.bounds(name)}

    def numbers(self, name: str, values: NDArray[Any]) -> NDArray[np.float32]:
        """Convert bytes of this code to numbers `(n, dim)`; bits become 1 and -1."""
        levels = values.view(np.uint8) ^ np.uint8(0x80 if self.precision in _SIGNED else 0)
        bits = self.precision in _BITS
        low, high = (np.float32(-1), np.float32(1)) if bits else self.bounds(name)
        step = (high - low) / np.float32(1 if bits else 255)
        step = np.where(step == 0, np.float32(1), step)
        numbers = np.empty((len(levels), self.dim), np.float32)
        # By blocks: they stay in the cache, and Ctrl-C is noticed between them.
        for start in range(0, len(levels), _BLOCK):
            rows = slice(start, start + _BLOCK)
            block = np.unpackbits(levels[rows], axis=1, count=self.dim) if bits else levels[rows]
            numbers[rows] = low + block.astype(np.float32) * step
        return numbers


def search(
    score: Any, query_embeddings: Any, corpus_embeddings: Any, top_k: int, options: Options
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return ids and scores of the best hits in a quantized corpus."""
    precision = options.precision
    if not isinstance(score, str):
        raise InvalidArgumentError(f"score_function: can't be a callable for a corpus of {precision!r}; name one")
    quantized = is_quantized(query_embeddings)
    name = "query_embeddings"
    queries = packed(name, query_embeddings, precision) if quantized else _arguments.matrix(name, query_embeddings)
    if queries.shape == (0, 0):
        return np.empty((0, 0), np.int64), np.empty((0, 0), np.float32)
    again = _rescored(options.rescore_embeddings)
    dim = _dimensions(queries.shape[1], again) if quantized and precision in _BITS else queries.shape[1]
    code = Code(precision, dim, ranges_of(options.ranges, options.calibration_embeddings, dim))
    if code.ranges is not None and precision in _BITS and not is_quantized(again):
        raise InvalidArgumentError(f"ranges: are of int8 and uint8, and embeddings of {precision!r} have none")
    corpus = code.stored("corpus_embeddings", corpus_embeddings)
    against = _against(code, corpus, again, options.rescore)
    if quantized:
        queries = code.numbers(name, queries)
    candidates = None if against is None else (min(top_k * options.rescore_multiplier, 2**62), against)
    return _core.semantic_search(score, queries, corpus, top_k, candidates)


def _rescored(embeddings: Any) -> NDArray[Any] | None:
    """Return the embeddings for rescoring as an array `(m, d)` of bytes or float32."""
    if embeddings is None:
        return None
    precision = _byte_type(embeddings)
    name = "rescore_embeddings"
    return packed(name, embeddings, precision) if precision else _arguments.matrix(name, embeddings)


def _dimensions(columns: int, again: NDArray[Any] | None) -> int:
    """Return the number of dimensions of packed bits: that of the embeddings for rescoring, if it fits."""
    width = 8 * columns if again is None else again.shape[1]
    return width if -(-width // 8) == columns else 8 * columns


def _against(code: Code, corpus: _Corpus, again: NDArray[Any] | None, rescore: bool) -> _Corpus | None:
    """Return the corpus for rescoring, or None."""
    if again is None:
        # int8 codes were compared with the unquantized queries already.
        return corpus if rescore and code.precision in _BITS else None
    if not rescore:
        raise InvalidArgumentError("rescore_embeddings: need rescore=True, got rescore=False")
    against = plain(again)
    if is_quantized(again):
        against = code._replace(precision=again.dtype.name).stored("rescore_embeddings", again)
    shape = (len(corpus["values"]), code.dim)
    if again.shape != shape:
        raise InvalidArgumentError(f"rescore_embeddings: must have shape {shape} for this corpus, got {again.shape}")
    return against


def refuse(query_embeddings: Any, corpus_embeddings: Any, options: Options) -> None:
    """Check that neither embeddings nor arguments are for a quantized corpus."""
    for name, rows in (("query_embeddings", query_embeddings), ("corpus_embeddings", corpus_embeddings)):
        if is_quantized(rows):
            raise InvalidArgumentError(
                f"corpus_precision: must name the precision of the bytes in {name}, got 'float32'"
            )
    for name in ("ranges", "calibration_embeddings", "rescore_embeddings"):
        if getattr(options, name) is not None:
            raise InvalidArgumentError(f"{name}: need a quantized corpus, got corpus_precision='float32'")


def plain(rows: NDArray[np.float32]) -> _Corpus:
    """Return float32 embeddings for the extension module."""
    return {"values": rows, "precision": "float32", "ranges": None}


def ranges_of(ranges: Any, calibration_embeddings: Any, dim: int) -> NDArray[np.float32] | None:
    """Return the ranges `(2, dim)`, minimum and maximum of each dimension, or None if they are not given."""
    if ranges is not None:
        bounds = _arguments.matrix("ranges", ranges)
        if bounds.shape != (2, dim):
            raise InvalidArgumentError(f"ranges: must have shape (2, {dim}), got {bounds.shape}")
        return bounds
    if calibration_embeddings is None:
        return None
    sample = _arguments.matrix("calibration_embeddings", calibration_embeddings)
    if not len(sample) or sample.shape[1] != dim:
        problem = f"must have at least one row, and {dim} columns, got shape {sample.shape}"
        raise InvalidArgumentError(f"calibration_embeddings: {problem}")
    return np.vstack([sample.min(axis=0), sample.max(axis=0)])


def is_quantized(embeddings: Any) -> bool:
    """Return True for an array or tensor of bytes, or a list of them."""
    return _byte_type(embeddings) is not None


def _byte_type(embeddings: Any) -> str | None:
    """Return "int8" or "uint8" for an array or tensor of bytes, or a list of them, else None."""
    first = embeddings[0] if isinstance(embeddings, (list, tuple)) and embeddings else embeddings
    name = str(getattr(first, "dtype", "")).rpartition(".")[2]
    return name if name in {"int8", "uint8"} else None


def packed(name: str, embeddings: Any, precision: str) -> NDArray[Any]:
    """Convert quantized embeddings to a C-contiguous array `(n, columns)`; a single one becomes one row."""
    dtype = np.dtype(np.int8 if precision in _SIGNED else np.uint8)
    try:
        array = np.asarray(embeddings)
    except (TypeError, ValueError) as error:
        raise InvalidArgumentError(f"{name}: must be an array of embeddings, (n, columns): {error}") from error
    if array.ndim == 1:
        array = array.reshape(1, -1) if array.size else np.empty((0, 0), dtype)
    if array.dtype != dtype or array.ndim != 2:
        problem = f"must be {dtype} of shape (n, columns) for {precision!r}, got {array.dtype} of shape {array.shape}"
        raise InvalidArgumentError(f"{name}: {problem}")
    return np.require(array, requirements=["C"])
