from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import Any, Final, TypeAlias, TypedDict, final

import numpy as np
from numpy.typing import NDArray

from rushlight._columns import Texts

__all__ = [
    "ACTIVATIONS",
    "INSTRUCTORS",
    "Model",
    "MultiVectorModel",
    "Reranker",
    "ServeCommand",
    "Server",
    "SparseModel",
    "Stream",
    "Tokenizer",
    "__version__",
    "choose_prompt",
    "community_detection",
    "device_name",
    "find_model",
    "get_num_threads",
    "hybrid_similarity",
    "hybrid_similarity_pairwise",
    "info",
    "maxsim",
    "maxsim_pairwise",
    "normalize_embeddings",
    "paraphrase_mining",
    "prompt_name_of",
    "prompt_names",
    "quantize",
    "ranked",
    "semantic_search",
    "set_num_threads",
    "similarity",
    "similarity_pairwise",
    "softmax",
    "sparse_similarity",
]

ACTIVATIONS: Final[list[str]]
INSTRUCTORS: Final[list[str]]
__version__: Final[str]

@final
class ServeCommand:
    def __new__(cls, words: list[str]) -> ServeCommand: ...
    @staticmethod
    def parse(words: list[str]) -> ServeCommand | tuple[str, int]: ...
    @property
    def models(self) -> list[str]: ...
    @property
    def source(self) -> tuple[str | None, Path | None, bool]: ...
    def run(self, folders: list[Path]) -> None: ...
    def start(self, folders: list[Path]) -> Server: ...

@final
class Server:
    @property
    def url(self) -> str: ...
    def stop(self) -> None: ...

class _Search(TypedDict):
    organization: str
    cache_folder: str | PathLike[str] | None
    revision: str | None
    local_files_only: bool
    token: str | bool | None
    looked: list[str]

class _Loading(TypedDict):
    device: str | None
    dtype: str | None
    adapters: dict[str, str]
    tokenizer_as_filed: bool
    mmap: bool
    packed_folder: str | PathLike[str] | None
    convert: bool
    cache_folder: str | PathLike[str] | None
    local_files_only: bool
    token: str | bool | None

class _Assembly(TypedDict):
    pooling: list[str]
    dense: list[Path]
    normalize: bool
    num_hidden_layers: int | None

class _Request(TypedDict):
    prompt: str
    role: str | None
    task: str | None
    normalize_embeddings: bool
    truncate_dim: int | None
    fail_on_truncation: bool
    progress: Callable[[int, int], object] | None
    poll: Callable[[], object] | None

_Csr: TypeAlias = tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]
_Given: TypeAlias = tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32], int]
_Hybrid: TypeAlias = tuple[NDArray[np.float32] | None, _Given | None, list[NDArray[np.float32]] | None]

class _HybridRequest(TypedDict):
    kinds: list[str] | None
    prompt: str
    role: str | None
    task: str | None
    normalize_embeddings: bool
    truncate_dim: int | None
    max_active_dims: int | None
    fail_on_truncation: bool
    progress: Callable[[int, int], object] | None

@final
class Stream:
    def step(self, texts_or_pairs: Texts, first: int) -> tuple[NDArray[np.float32], int, int]: ...

@final
class Model:
    @property
    def embeds_images(self) -> bool: ...
    def __new__(
        cls,
        folder: str | PathLike[str],
        loading: _Loading,
        max_seq_length: int | None,
        prompts: dict[str, str],
        default_prompt_name: str | None,
        assembly: _Assembly | None = None,
        static_rule: str | None = None,
    ) -> Model: ...
    def copy(self) -> Model: ...
    def encode(self, texts_or_pairs: Texts, request: _Request) -> tuple[NDArray[np.float32], int, int]: ...
    def load_on(self, devices: list[str]) -> None: ...
    def encode_sharded(
        self,
        texts_or_pairs: Texts,
        request: _Request,
        devices: list[str],
        chunk_size: int | None,
    ) -> tuple[NDArray[np.float32], int, int]: ...
    def stream(self, request: _Request) -> Stream: ...
    def encode_tokens(
        self, texts_or_pairs: Texts, request: _Request
    ) -> tuple[list[dict[str, NDArray[Any]]], list[int]]: ...
    def encode_all(
        self, texts_or_pairs: Texts, request: _HybridRequest
    ) -> tuple[NDArray[np.float32] | None, tuple[_Csr, int] | None, list[NDArray[np.float32]] | None, int, int]: ...
    @property
    def embedding_kinds(self) -> list[str]: ...
    def encode_late_chunks(
        self, texts: list[str], max_tokens: int | None, overlap: int, request: _Request
    ) -> list[NDArray[np.float32]]: ...
    def chunk(
        self, text: str, max_tokens: int | None, overlap: int, prompt: str, role: str | None
    ) -> list[tuple[int, int]]: ...
    @property
    def has_routes(self) -> bool: ...
    @property
    def tasks(self) -> list[str]: ...
    def task_of(self, role: str) -> str | None: ...
    def max_seq_length_of(self, role: str | None) -> int | None: ...
    def tokenizer(self, as_queries: bool | None) -> Tokenizer: ...
    def save(
        self,
        folder: str | PathLike[str],
        prompts: dict[str, str],
        default_prompt_name: str | None,
        similarity_fn_name: str,
        truncate_dim: int | None,
    ) -> None: ...
    def set_pooling_include_prompt(self, include_prompt: bool) -> None: ...
    @property
    def folder(self) -> Path: ...
    @property
    def has_modules(self) -> bool: ...
    @property
    def converted_from(self) -> str | None: ...
    @property
    def device(self) -> str: ...
    @property
    def prompts(self) -> dict[str, str]: ...
    @property
    def default_prompt_name(self) -> str | None: ...
    @property
    def similarity_fn_name(self) -> str: ...
    @property
    def truncate_dim(self) -> int | None: ...
    @property
    def embedding_dimension(self) -> int: ...
    @property
    def max_seq_length(self) -> int | None: ...
    @max_seq_length.setter
    def max_seq_length(self, value: int) -> None: ...

@final
class Tokenizer:
    def tokenize(self, texts_or_pairs: Texts, prompt: str = "") -> list[tuple[list[int], list[int] | None, int]]: ...
    def encode(
        self, texts_or_pairs: Texts, max_length: int | None
    ) -> list[tuple[list[int], list[int] | None, int]]: ...
    def encode_plain(self, text: str) -> list[int]: ...
    def id_to_token(self, token_id: int) -> str | None: ...
    def token_to_id(self, token: str) -> int | None: ...
    def special_tokens(self) -> list[tuple[str, str]]: ...
    def vocab(self) -> dict[str, int]: ...
    def count(self, texts_or_pairs: Texts) -> list[int]: ...
    def decode(self, ids: list[int], skip_special_tokens: bool) -> str: ...
    @property
    def difference(self) -> str | None: ...
    @property
    def vocab_size(self) -> int: ...
    @property
    def pad_id(self) -> int | None: ...
    @property
    def pad_left(self) -> bool: ...
    @property
    def has_token_type_ids(self) -> bool: ...

class _PredictRequest(TypedDict):
    prompt: str
    activation_fn: str
    apply_softmax: bool
    fail_on_truncation: bool
    progress: Callable[[int, int], object] | None

@final
class Reranker:
    def __new__(
        cls,
        folder: str | PathLike[str],
        loading: _Loading,
        max_seq_length: int | None,
        prompts: dict[str, str],
        default_prompt_name: str | None,
        activation_fn: str | None = None,
    ) -> Reranker: ...
    def copy(self) -> Reranker: ...
    def predict(
        self, pairs: list[tuple[str, str]], request: _PredictRequest
    ) -> tuple[NDArray[np.float32], int, int]: ...
    def tokenizer(self, as_queries: bool | None) -> Tokenizer: ...
    def save(
        self,
        folder: str | PathLike[str],
        prompts: dict[str, str],
        default_prompt_name: str | None,
        activation_fn: str,
    ) -> None: ...
    @property
    def folder(self) -> Path: ...
    @property
    def converted_from(self) -> str | None: ...
    @property
    def device(self) -> str: ...
    @property
    def prompts(self) -> dict[str, str]: ...
    @property
    def default_prompt_name(self) -> str | None: ...
    @property
    def num_labels(self) -> int: ...
    @property
    def activation_fn(self) -> str: ...
    def default_activation_fn(self) -> str: ...
    @property
    def max_seq_length(self) -> int | None: ...
    @max_seq_length.setter
    def max_seq_length(self, value: int) -> None: ...

class _SparseRequest(TypedDict):
    prompt: str
    as_queries: bool | None
    max_active_dims: int | None
    fail_on_truncation: bool
    progress: Callable[[int, int], object] | None

@final
class SparseModel:
    def __new__(
        cls,
        folder: str | PathLike[str],
        loading: _Loading,
        max_seq_length: int | None,
        prompts: dict[str, str],
        default_prompt_name: str | None,
    ) -> SparseModel: ...
    def copy(self) -> SparseModel: ...
    def encode(self, texts_or_pairs: Texts, request: _SparseRequest) -> tuple[_Csr, int, int]: ...
    def decode(self, given: _Given, top_k: int | None) -> list[list[tuple[str, float]]]: ...
    def tokenizer(self, as_queries: bool | None) -> Tokenizer: ...
    def save(
        self,
        folder: str | PathLike[str],
        prompts: dict[str, str],
        default_prompt_name: str | None,
        similarity_fn_name: str,
        max_active_dims: int | None,
    ) -> None: ...
    @property
    def folder(self) -> Path: ...
    @property
    def converted_from(self) -> str | None: ...
    @property
    def device(self) -> str: ...
    @property
    def prompts(self) -> dict[str, str]: ...
    @property
    def default_prompt_name(self) -> str | None: ...
    @property
    def similarity_fn_name(self) -> str: ...
    @property
    def max_active_dims(self) -> int | None: ...
    @property
    def embedding_dimension(self) -> int: ...
    @property
    def max_seq_length(self) -> int | None: ...
    @max_seq_length.setter
    def max_seq_length(self, value: int) -> None: ...

class _MultiVectorRequest(TypedDict):
    prompt: str
    as_queries: bool
    fail_on_truncation: bool
    progress: Callable[[int, int], object] | None

@final
class MultiVectorModel:
    def __new__(
        cls,
        folder: str | PathLike[str],
        loading: _Loading,
        max_seq_length: int | None,
        prompts: dict[str, str],
        default_prompt_name: str | None,
    ) -> MultiVectorModel: ...
    def copy(self) -> MultiVectorModel: ...
    def encode(
        self, texts_or_pairs: Texts, request: _MultiVectorRequest
    ) -> tuple[list[NDArray[np.float32]], int, int]: ...
    def tokenizer(self, as_queries: bool | None) -> Tokenizer: ...
    def save(
        self,
        folder: str | PathLike[str],
        prompts: dict[str, str],
        default_prompt_name: str | None,
        similarity_fn_name: str,
    ) -> None: ...
    @property
    def folder(self) -> Path: ...
    @property
    def is_of_sentence_model(self) -> bool: ...
    @property
    def converted_from(self) -> str | None: ...
    @property
    def device(self) -> str: ...
    @property
    def prompts(self) -> dict[str, str]: ...
    @property
    def default_prompt_name(self) -> str | None: ...
    @property
    def similarity_fn_name(self) -> str: ...
    @property
    def embedding_dimension(self) -> int: ...
    @property
    def query_length(self) -> int | None: ...
    @property
    def max_seq_length(self) -> int | None: ...
    @max_seq_length.setter
    def max_seq_length(self, value: int) -> None: ...

def find_model(name: str | PathLike[str], search: _Search, progress: Callable[[int, int], object] | None) -> Path: ...
def get_num_threads() -> int: ...
def set_num_threads(n: int) -> None: ...
def device_name(device: str) -> str: ...
def info() -> dict[str, Any]: ...
def similarity(name: str, a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]: ...
def similarity_pairwise(name: str, a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]: ...
def quantize(
    embeddings: NDArray[np.float32],
    precision: str,
    ranges: NDArray[np.float32] | None = None,
    calibration: NDArray[np.float32] | None = None,
) -> NDArray[Any]: ...

class _Corpus(TypedDict):
    values: NDArray[Any]
    precision: str
    ranges: NDArray[np.float32] | None

def semantic_search(
    name: str,
    queries: NDArray[np.float32],
    corpus: _Corpus,
    top_k: int,
    candidates: tuple[int, _Corpus] | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]: ...
def paraphrase_mining(
    name: str, embeddings: NDArray[np.float32], max_pairs: int, top_k: int
) -> list[tuple[float, int, int]]: ...
def community_detection(
    embeddings: NDArray[np.float32],
    threshold: float,
    min_community_size: int,
    batch_size: int,
    progress: Callable[[int, int], object] | None,
) -> list[list[int]]: ...
def normalize_embeddings(embeddings: NDArray[np.float32]) -> NDArray[np.float32]: ...
def sparse_similarity(name: str, a: _Given, b: _Given) -> NDArray[np.float32]: ...
def hybrid_similarity(a: _Hybrid, b: _Hybrid, weights: tuple[float, float, float] | None) -> NDArray[np.float32]: ...
def hybrid_similarity_pairwise(
    a: _Hybrid, b: _Hybrid, weights: tuple[float, float, float] | None
) -> NDArray[np.float32]: ...
def maxsim(
    name: str, queries: list[NDArray[np.float32]], documents: list[NDArray[np.float32]]
) -> NDArray[np.float32]: ...
def maxsim_pairwise(
    name: str, queries: list[NDArray[np.float32]], documents: list[NDArray[np.float32]]
) -> NDArray[np.float32]: ...
def choose_prompt(
    prompts: dict[str, str],
    default_prompt_name: str | None,
    prompt: str | None,
    prompt_name: str | None,
    role: str | None = None,
) -> str: ...
def prompt_name_of(prompts: dict[str, str], role: str) -> str | None: ...
def prompt_names(role: str) -> list[str]: ...
def ranked(scores: NDArray[np.float32], top_k: int | None) -> list[tuple[int, float]]: ...
def softmax(scores: NDArray[np.float32]) -> NDArray[np.float32]: ...
