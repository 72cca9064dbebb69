"""Base of all kinds of models: loading, prompts, tokens, devices, saving, copying and closing."""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, TypeVar

from rushlight import _arguments, _asynchronous, _core, _progress, _source
from rushlight._tokenizer import Tokenizer, padded
from rushlight.exceptions import DeviceError, InferenceError, InvalidArgumentError, InvalidInputError

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path
    from types import TracebackType
    from typing import TypeAlias

    import numpy as np
    from numpy.typing import NDArray
    from typing_extensions import Self

    from rushlight._core import _Loading

    # Role of a text in a search.
    Role: TypeAlias = Literal["query", "document"]

logger = logging.getLogger("rushlight")

# Classes of the extension module that compute; their constructors take the same arguments.
Core = TypeVar("Core", _core.Model, _core.MultiVectorModel, _core.Reranker, _core.SparseModel)


class Loaded(Generic[Core]):
    """Loaded model of any kind."""

    # Class of the extension module that computes.
    _kind: ClassVar[Any]
    # Organization of models whose names have none.
    _organization: ClassVar[str] = "sentence-transformers"

    _core: Core | None
    _prompts: dict[str, str]
    _default_prompt_name: str | None
    # Device and dtype that were asked for; None for the best device and for float32.
    _device_and_dtype: tuple[str | None, str | None] = (None, None)
    # Folders of adapters by name.
    _adapters: dict[str, str] = {}  # noqa: RUF012 (never changed in place)
    # Places to search for models that the folder names.
    _cache_folder: Path | None = None
    _local_files_only: bool = False
    # Takes tokenizer.json as it is.
    _tokenizer_as_filed: bool = False
    # Maps safetensors into memory.
    _mmap: bool = True
    # Folder of packed weights that processes share.
    _packed_folder: Path | None = None
    # Loads folders of another kind, as sentence-transformers converts them.
    _converts: ClassVar[bool] = False

    def _load(
        self,
        name: str | os.PathLike[str],
        *,
        device: str | None,
        max_length: int | None,
        prompts: Mapping[str, str] | None,
        default_prompt_name: str | None,
        dtype: str | None,
        tokenizer_as_filed: bool,
        mmap: bool,
        packed_folder: str | os.PathLike[str] | None,
        cache_folder: str | os.PathLike[str] | None,
        revision: str | None,
        local_files_only: bool,
        token: str | bool | None,
        adapters: Mapping[str, str | os.PathLike[str]] | None = None,
    ) -> Path:
        """Find and load a model by name or path, and return its folder."""
        device = None if device is None else _arguments.text("device", device)
        dtype = None if dtype is None else _arguments.text("dtype", dtype)
        if default_prompt_name is not None:
            _arguments.text("default_prompt_name", default_prompt_name)
        checked = _arguments.prompts({} if prompts is None else prompts)
        given = _arguments.adapters({} if adapters is None else adapters)
        where: Any = {"cache_folder": cache_folder, "local_files_only": local_files_only, "token": token}
        folder = _source.find(name, self._organization, revision=revision, **where)
        found = {name: _source.find(other, self._organization, revision=None, **where) for name, other in given.items()}
        self._adapters = {name: str(path.absolute()) for name, path in found.items()}
        self._device_and_dtype, self._tokenizer_as_filed = (device, dtype), bool(tokenizer_as_filed)
        self._mmap = bool(mmap)
        # Models that are unpickled elsewhere share the folder.
        packed = None if packed_folder is None else _arguments.path("packed_folder", packed_folder).absolute()
        self._packed_folder = packed
        self._cache_folder = None if cache_folder is None else _arguments.path("cache_folder", cache_folder)
        self._local_files_only = bool(local_files_only)
        loading = self._loading(token)
        self._take(self._kind(folder, loading, max_length, checked, default_prompt_name, *self._chosen()))
        if device is None:
            logger.info("device: %s", self._engine.device)
        difference = self._engine.tokenizer(None).difference
        if difference is not None:
            logger.warning("%s: %s", folder, difference)
        return folder

    def _loading(self, token: str | bool | None = None) -> _Loading:
        """Return the settings of loading that all kinds have."""
        device, dtype = self._device_and_dtype
        return {
            "device": device,
            "dtype": dtype,
            "adapters": self._adapters,
            "tokenizer_as_filed": self._tokenizer_as_filed,
            "mmap": self._mmap,
            "packed_folder": self._packed_folder,
            "convert": self._converts,
            "cache_folder": self._cache_folder,
            "local_files_only": self._local_files_only,
            "token": token,
        }

    def _chosen(self) -> tuple[Any, ...]:
        """Return the settings of this kind that override the folder's when the model is loaded."""
        return ()

    def _take(self, core: Core) -> None:
        """Take over the settings of `core`, and compute with it."""
        self._core = core
        self._prompts = core.prompts
        self._default_prompt_name = core.default_prompt_name

    @property
    def _engine(self) -> Core:
        if self._core is None:
            raise InferenceError("this model is closed")
        return self._core

    # Prompts

    @property
    def prompts(self) -> dict[str, str]:
        """Prompts by name; the dict can be changed in place."""
        return self._prompts

    @prompts.setter
    def prompts(self, prompts: Mapping[str, str]) -> None:
        self._prompts = _arguments.prompts(prompts)

    @property
    def default_prompt_name(self) -> str | None:
        """Name of the prompt for calls that name none."""
        return self._default_prompt_name

    @default_prompt_name.setter
    def default_prompt_name(self, name: str | None) -> None:
        if name is not None and _arguments.text("default_prompt_name", name) not in self._prompts:
            known = f"there are {', '.join(map(repr, self._prompts))}" if self._prompts else "the model has none"
            raise InvalidArgumentError(f"default_prompt_name: no prompt {name!r}; {known}")
        self._default_prompt_name = name

    def _prompt(self, prompt: str | None, prompt_name: str | None, role: Role | None = None) -> str:
        """Return the given prompt, else the one of the role, else the default one."""
        _arguments.one_of("role", role, (None, "query", "document"))
        if prompt is not None:
            if prompt_name is not None:
                logger.warning("both prompt and prompt_name are given: prompt_name is ignored")
            return _arguments.text("prompt", prompt)
        if prompt_name is not None:
            names = [_arguments.text("prompt_name", prompt_name)]
        else:
            names = [self._default_prompt_name or ""] if role is None else _core.prompt_names(role)
        candidates = self._candidates(names)
        if prompt_name is not None and not candidates:
            candidates = {str(name): "" for name in list(self._prompts)}  # for the message
        return _core.choose_prompt(candidates, self._default_prompt_name, None, prompt_name, role)

    def _prompt_name_of(self, role: Role) -> str | None:
        """Return the name of the role's prompt, or None."""
        return _core.prompt_name_of(self._candidates(_core.prompt_names(role)), role)

    def _candidates(self, names: list[str]) -> dict[str, str]:
        """Return the prompts of these names. Other threads may change the dict meanwhile."""
        found = {name: self._prompts.get(name) for name in names}
        return {name: _arguments.text("prompts", prompt) for name, prompt in found.items() if prompt is not None}

    # Tokens

    @property
    def tokenizer(self) -> Tokenizer:
        """Tokenizer; the one of documents if queries have another."""
        return Tokenizer(self._engine)

    def tokenize(self, texts: list[str | tuple[str, str]]) -> dict[str, NDArray[np.int64]]:
        """Tokenize texts or pairs without a prompt, truncated and padded to the longest.

        Returns
        -------
        dict
            int64 arrays `(n, longest)`: `input_ids`, `attention_mask`, and `token_type_ids` if the tokenizer has them.

        Raises
        ------
        InvalidInputError
            An input is not text; the message names its index.
        """
        return self._tokens(texts, None)

    def _tokens(self, texts: Any, as_queries: bool | None, prompt: str = "") -> dict[str, NDArray[np.int64]]:
        batch, single = _arguments.texts(texts, "texts")
        if single:
            raise InvalidInputError("texts: must be a list of texts, got a str")
        tokenizer = self._engine.tokenizer(as_queries)
        return padded(tokenizer, tokenizer.tokenize(batch, prompt))

    def count_tokens(self, inputs: str | Iterable[str | tuple[str, str]]) -> Any:
        """Count the tokens of texts or pairs before truncation, with special tokens and without a prompt.

        Returns
        -------
        int or list of int
            An int for a single text, a list otherwise.
        """
        texts, single = _arguments.inputs(inputs)
        counts = self._engine.tokenizer(None).count(texts)
        return counts[0] if single else counts

    # Devices

    @property
    def device(self) -> str:
        """Device of the model, such as "cpu" or "cuda:0"."""
        return self._engine.device

    @property
    def dtype(self) -> str:
        """Dtype of the computation: "float32", "float16", "bfloat16" or "int8"; results are always float32."""
        return self._device_and_dtype[1] or "float32"

    def _check_device(self, device: str | None) -> None:
        if device is not None and _core.device_name(_arguments.text("device", device)) != self._engine.device:
            raise DeviceError(f"device {device!r}: this model is on {self._engine.device!r}")

    # Saving

    def save_pretrained(self, path: str | os.PathLike[str]) -> None:
        """Save the model with its current settings, as a folder that rushlight and sentence-transformers load.

        For a model of published code (`auto_map`), sentence-transformers needs that code, and rushlight does not.

        The folder is replaced in one step: it holds either the old model or the new one, and keeps its other files. A
        save waits for another save to the same folder. If a folder cannot be replaced (a mount point, the working
        directory, Windows), files are moved into it one by one, and rushlight loads it only when it is complete.

        Raises
        ------
        InferenceError
            The folder cannot be written; `__cause__` gives the reason.
        ModelFormatError
            The model's own folder, whose files are copied, has changed since the model was loaded.
        InvalidArgumentError
            `path` cannot be a folder, or a setting cannot be saved, such as an `activation_fn` that is a callable.
        """
        folder, prompts = _arguments.path("path", path), _arguments.prompts(self._prompts)
        self._engine.save(folder, prompts, self._default_prompt_name, *self._saved())

    def save(self, path: str | os.PathLike[str]) -> None:
        """Call `save_pretrained`."""
        self.save_pretrained(path)

    def _saved(self) -> tuple[Any, ...]:
        """Return the settings of this kind to save."""
        raise NotImplementedError

    # Copying, closing

    def __getstate__(self) -> dict[str, Any]:
        """Return the settings and the folder, from which unpickling loads the model."""
        return {**self.__dict__, "_core": self._origin()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Load the model again from its folder."""
        self.__dict__.update(state, _core=self._kind(*state["_core"]))

    def _origin(self) -> tuple[Any, ...]:
        """Return the arguments that create the engine again."""
        engine = self._engine
        return engine.folder.absolute(), self._loading(), engine.max_seq_length, {}, None, *self._chosen()

    def __copy__(self) -> Self:
        """Return a model with its own settings that shares the weights."""
        copied = object.__new__(type(self))
        copied.__dict__.update(self.__dict__)
        copied._core = self._engine.copy()
        copied._prompts = dict(self._prompts)
        return copied

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Return a model with its own settings that shares the weights, which never change."""
        return self.__copy__()

    def close(self) -> None:
        """Free the weights; later calls raise `InferenceError`."""
        self._core = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        name = type(self).__name__
        if self._core is None:
            return f"{name}(closed)"
        return f"{name}({str(self._core.folder)!r}, {self._said()}, device={self._core.device!r})"

    def _said(self) -> str:
        """Return the settings of this kind for `repr`."""
        raise NotImplementedError


def check_truncation(truncation: str) -> None:
    """Check the argument `truncation`."""
    _arguments.one_of("truncation", truncation, ("ignore", "warn", "error"))


def warn_of_truncation(truncated: int, total: int, longest: int, limit: int | None, what: str = "texts") -> None:
    """Log the number of truncated texts, if any, and the token count of the longest one."""
    if truncated:
        logger.warning("%d of %d %s were cut to %s tokens; the longest has %d", truncated, total, what, limit, longest)


@contextmanager
def progress(show: bool | None, total: int, unit: str = "text") -> Iterator[Callable[[int, int], object] | None]:
    """Return a context with a progress callback or None; `show=None` decides by the logger's level.

    The callback also stops the calls of a cancelled task.
    """
    if show is None:
        show = logger.getEffectiveLevel() in (logging.INFO, logging.DEBUG)
    bar: AbstractContextManager[Callable[[int, int], object] | None] = _bar(total, unit) if show else nullcontext()
    with bar as tell:
        stop = _asynchronous.poll.get()
        yield tell if stop is None else _both(stop, tell)


def _both(stop: Callable[[], None], tell: Callable[[int, int], object] | None) -> Callable[[int, int], object]:
    def told(done: int, total: int) -> None:
        stop()
        if tell is not None:
            tell(done, total)

    return told


@contextmanager
def _bar(total: int, unit: str) -> Iterator[Callable[[int, int], object]]:
    with _progress.bar(total=total, desc=f"{unit.capitalize()}s", unit=unit) as bar:
        yield lambda done, _total: bar.update(done - bar.n)
