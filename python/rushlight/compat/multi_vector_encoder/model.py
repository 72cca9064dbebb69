"""`MultiVectorEncoder`, on rushlight's `MultiVectorModel`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rushlight import MultiVectorModel, _arguments, _core, util
from rushlight.compat._calls import called_like, check_names, renamed
from rushlight.compat._compared import Compared
from rushlight.compat._loading import loading
from rushlight.compat._refused import refusing
from rushlight.compat._tensors import tensor
from rushlight.compat._upstream import task_of, with_pairs
from rushlight.compat.similarity_functions import SimilarityFunction
from rushlight.exceptions import InvalidArgumentError

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping

    from rushlight._pool import Pool

__all__ = ["MultiVectorEncoder"]

if not TYPE_CHECKING:  # so that type checkers still know what there is
    __getattr__ = refusing(__name__)


class MultiVectorEncoder(Compared[_core.MultiVectorModel], MultiVectorModel):
    """A `rushlight.MultiVectorModel` with what `sentence_transformers.MultiVectorEncoder` takes, has and returns.

    Parameters
    ----------
    model_name_or_path, prompts, default_prompt_name, cache_folder, revision, local_files_only, token
        As of `rushlight.MultiVectorModel`.
    device, trust_remote_code, model_kwargs, processor_kwargs, config_kwargs, backend, modules, model_card_data
        As of `SentenceTransformer`.
    similarity_fn_name
        As of `rushlight.MultiVectorModel`; a `SimilarityFunction`, too.

    Raises
    ------
    InvalidArgumentError
        Where an argument asks for what rushlight does not do; else as `rushlight.MultiVectorModel`.
    """

    __module__ = "rushlight.compat._sentence_transformers"

    _similarities = ("maxsim", "meanmaxsim")

    @renamed(tokenizer_kwargs="processor_kwargs")
    def __init__(
        self,
        model_name_or_path: str | os.PathLike[str] | None = None,
        *,
        modules: None = None,
        device: Any = None,
        prompts: Mapping[str, str] | None = None,
        default_prompt_name: str | None = None,
        cache_folder: str | os.PathLike[str] | None = None,
        trust_remote_code: bool = False,
        revision: str | None = None,
        local_files_only: bool = False,
        token: bool | str | None = None,
        model_kwargs: Mapping[str, Any] | None = None,
        processor_kwargs: Mapping[str, Any] | None = None,
        config_kwargs: Mapping[str, Any] | None = None,
        model_card_data: None = None,
        backend: str = "torch",
        similarity_fn_name: str | None = None,
    ) -> None:
        _ = trust_remote_code  # a permission that is never used
        super().__init__(
            model_name_or_path,  # type: ignore[arg-type]  # None is refused
            **loading(
                modules=modules,
                device=device,
                model_kwargs=model_kwargs,
                processor_kwargs=processor_kwargs,
                config_kwargs=config_kwargs,
                model_card_data=model_card_data,
                backend=backend,
            ),
            prompts=prompts,
            default_prompt_name=default_prompt_name,
            cache_folder=cache_folder,
            revision=revision,
            local_files_only=local_files_only,
            token=token,
            similarity_fn_name=similarity_fn_name,
        )
        self._padding_side = (processor_kwargs or {}).get("padding_side")

    def encode(
        self,
        inputs: str | Iterable[str],
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int = 32,
        show_progress_bar: bool | None = None,
        output_value: str | None = "token_embeddings",
        convert_to_numpy: bool = False,
        device: Any = None,
        normalize_embeddings: bool = False,
        pool: Pool | None = None,
        chunk_size: int | None = None,
        token_pooling: None = None,
        task: str | None = None,
        **kwargs: Any,
    ) -> Any:
        """Embed queries, where `task` is "query", or documents, with the prompt that is given or the default one.

        `rushlight.MultiVectorModel.encode_query` says what the other arguments are; `**kwargs` are those of its
        arguments that sentence-transformers lacks: `truncation`.

        Returns
        -------
        list of torch.Tensor or of numpy.ndarray
            float32 `(tokens, embedding_dimension)` a text: arrays with `convert_to_numpy` or where torch is not
            installed; for a single text its own.
        """
        kwargs["task"] = task
        encode = super().encode_query if task_of(kwargs) == "query" else super().encode_document
        check_names(self, encode, kwargs)
        _arguments.one_of("output_value", output_value, ("token_embeddings",))
        if token_pooling is not None:
            raise InvalidArgumentError("token_pooling: rushlight does not pool the vectors of tokens")
        self._check_workers(device, pool, chunk_size)
        embeddings = encode(
            with_pairs(inputs),
            prompt=self._prompt(prompt, prompt_name),
            batch_size=batch_size,
            show_progress_bar=show_progress_bar,
            **kwargs,
        )
        if normalize_embeddings:
            single = self.is_singular_input(inputs)
            rows = [util.normalize_embeddings(row) for row in ([embeddings] if single else embeddings)]
            embeddings = rows[0] if single else rows
        return embeddings if convert_to_numpy else tensor(embeddings)

    @called_like(encode, but="task")
    def encode_query(self, **options: Any) -> Any:
        """Embed queries: `encode`, with the prompt "query" where neither `prompt` nor `prompt_name` is given."""
        return self._encode_as("query", **options)

    @called_like(encode, but="task")
    def encode_document(self, **options: Any) -> Any:
        """Embed documents: `encode`, with the first prompt of "document", "passage" and "corpus" that is not empty."""
        return self._encode_as("document", **options)

    def similarity(  # type: ignore[override]  # it has other names there
        self, embeddings1: Any, embeddings2: Any, **kwargs: Any
    ) -> Any:
        """Score every query with every document, by `similarity_fn_name`: `(n, m)`.

        `**kwargs` are those of `rushlight.compat.util.maxsim`.
        """
        _ = self._engine  # it isn't needed, but a closed model must say so
        return SimilarityFunction.to_similarity_fn(self.similarity_fn_name)(embeddings1, embeddings2, **kwargs)

    def similarity_pairwise(  # type: ignore[override]  # it has other names there
        self, embeddings1: Any, embeddings2: Any, **kwargs: Any
    ) -> Any:
        """Score each query with the document at its place: `(n,)`."""
        _ = self._engine
        return SimilarityFunction.to_similarity_pairwise_fn(self.similarity_fn_name)(embeddings1, embeddings2, **kwargs)

    @property
    def max_seq_length(self) -> int | None:
        """The same as `document_length`: texts are cut there without a `task`, too."""
        return self.document_length

    @max_seq_length.setter
    def max_seq_length(self, tokens: int) -> None:
        self.document_length = tokens

    def get_max_seq_length(self) -> int | None:
        """Return `document_length`."""
        return self.document_length
