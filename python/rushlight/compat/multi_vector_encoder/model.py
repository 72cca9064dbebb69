"""`MultiVectorEncoder`, on rushlight's `MultiVectorModel`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

import numpy as np

from rushlight import MultiVectorModel, _arguments, _core, util
from rushlight.compat._calls import called_like, check_names, extending, processing, renamed
from rushlight.compat._compared import Compared
from rushlight.compat._tensors import tensor
from rushlight.compat._upstream import Upstream, task_of, with_pairs
from rushlight.compat.util.similarity import SimilarityFunction
from rushlight.exceptions import InvalidArgumentError

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable

    from typing_extensions import Unpack

    from rushlight._pool import Pool
    from rushlight.compat._loading import Loading

__all__ = ["MultiVectorEncoder"]


class MultiVectorEncoder(Compared[_core.MultiVectorModel], MultiVectorModel):
    """`rushlight.MultiVectorModel` with the interface of `sentence_transformers.MultiVectorEncoder`.

    Parameters
    ----------
    model_name_or_path, prompts, default_prompt_name, cache_folder, revision, local_files_only, token
        See `rushlight.MultiVectorModel`.
    device, trust_remote_code, model_kwargs, processor_kwargs, config_kwargs, backend, modules, model_card_data
        See `SentenceTransformer`.
    similarity_fn_name
        Name as for `rushlight.MultiVectorModel`, or a `SimilarityFunction`.

    Raises
    ------
    InvalidArgumentError
        An argument asks for something that rushlight does not do. Other errors are those of
        `rushlight.MultiVectorModel`.
    """

    __module__ = "rushlight.compat._sentence_transformers"
    model_type = "MultiVectorEncoder"
    default_huggingface_organization = MultiVectorModel._organization
    SUPPORTED_SIMILARITY_FN_NAMES: ClassVar[tuple[str, ...]] = ("maxsim", "meanmaxsim")

    @renamed(tokenizer_kwargs="processor_kwargs")
    @extending(Upstream.__init__)
    def __init__(
        self,
        model_name_or_path: str | os.PathLike[str] | None = None,
        *,
        similarity_fn_name: str | None = None,
        **loading: Unpack[Loading],
    ) -> None:
        super().__init__(model_name_or_path, similarity_fn_name=similarity_fn_name, **loading)

    @processing
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
        token_pooling: Any = None,
        task: str | None = None,
        **kwargs: Any,
    ) -> Any:
        """Embed texts as queries if `task` is "query", else as documents, with the given or the default prompt.

        See `rushlight.MultiVectorModel.encode_query` for the other arguments. `**kwargs` is rushlight's own
        `truncation`. `token_pooling` is an object whose `pool` reduces the vectors of each text.

        Returns
        -------
        list of torch.Tensor, of numpy.ndarray or of dict
            float32 `(tokens, embedding_dimension)` per text, without the list for a single text. Arrays with
            `convert_to_numpy` or without torch. With `output_value=None`, dicts of `token_embeddings`, the
            `attention_mask` of these tokens, which are all scored, `modality`, `prompt_length` with a prompt, and
            `input_ids` if every token of the text has a vector.
        """
        kwargs["task"] = task
        encode = super().encode_query if task_of(kwargs) == "query" else super().encode_document
        check_names(self, encode, kwargs)
        _arguments.one_of("output_value", output_value, ("token_embeddings", None))
        if token_pooling is not None and not hasattr(token_pooling, "pool"):
            raise InvalidArgumentError(f"token_pooling: must have the method pool, got {token_pooling!r}")
        self._check_workers(device, pool, chunk_size)
        embeddings = encode(
            with_pairs(inputs),
            prompt=self._prompt(prompt, prompt_name),
            batch_size=batch_size,
            show_progress_bar=show_progress_bar,
            **kwargs,
        )
        if normalize_embeddings and output_value is not None:
            single = self.is_singular_input(inputs)
            rows = [util.normalize_embeddings(row) for row in ([embeddings] if single else embeddings)]
            embeddings = rows[0] if single else rows
        if token_pooling is not None:
            embeddings = self._pooled(embeddings, token_pooling, task, single=self.is_singular_input(inputs))
        if output_value is None:
            return self._features(inputs, embeddings, self._prompt(prompt, prompt_name), task)
        return embeddings if convert_to_numpy else tensor(embeddings)

    def _limited(self, tokens: int) -> NoReturn:
        """Raise the error of a limit for one call: queries and documents have different ones."""
        raise InvalidArgumentError(f"processing_kwargs: set document_length instead, got max_length {tokens}")

    def _features(self, inputs: Any, embeddings: Any, prompt: str, task: str | None) -> Any:
        """Return the vectors of each text with its mask, and with its tokens if each of them has a vector."""
        if single := self.is_singular_input(inputs):
            inputs, embeddings = [inputs], [embeddings]
        features = []
        for text, vectors in zip(with_pairs(inputs), embeddings, strict=True):
            one = {"token_embeddings": vectors, "attention_mask": np.ones(len(vectors), np.int64)}
            ids = self._tokens([text], task == "query", prompt)["input_ids"][0]
            features.append({**one, "input_ids": ids} if len(ids) == len(vectors) else one)
        named = self._with_modality(tensor(features), prompt)
        return named[0] if single else named

    @staticmethod
    def _pooled(embeddings: Any, pooling: Any, task: str | None, *, single: bool) -> Any:
        """Reduce the vectors of texts by an object with `pool`, which takes and returns a list of tensors."""
        pooled = pooling.pool(tensor([embeddings] if single else embeddings), task=task)
        rows = [_arguments.matrix("token_pooling", row) for row in pooled]
        return rows[0] if single else rows

    @called_like(encode, but="task")
    def encode_query(self, **options: Any) -> Any:
        """Embed queries: `encode` with the prompt "query", unless `prompt` or `prompt_name` is given."""
        return self._encode_as("query", **options)

    @called_like(encode, but="task")
    def encode_document(self, **options: Any) -> Any:
        """Embed documents: `encode` with the first non-empty prompt of "document", "passage" and "corpus"."""
        return self._encode_as("document", **options)

    def similarity(  # type: ignore[override]  # it has other names there
        self, embeddings1: Any, embeddings2: Any, **kwargs: Any
    ) -> Any:
        """Score every query against every document by `similarity_fn_name`: `(n, m)`.

        `**kwargs` are those of `rushlight.compat.util.maxsim`.
        """
        _ = self._engine  # raises for a closed model
        return SimilarityFunction.to_similarity_fn(self.similarity_fn_name)(embeddings1, embeddings2, **kwargs)

    def similarity_pairwise(  # type: ignore[override]  # it has other names there
        self, embeddings1: Any, embeddings2: Any, **kwargs: Any
    ) -> Any:
        """Score each query against the document at the same position: `(n,)`."""
        _ = self._engine
        return SimilarityFunction.to_similarity_pairwise_fn(self.similarity_fn_name)(embeddings1, embeddings2, **kwargs)

    @property
    def max_seq_length(self) -> int | None:
        """Alias of `document_length`, which applies to texts without a `task`, too."""
        return self.document_length

    @max_seq_length.setter
    def max_seq_length(self, tokens: int) -> None:
        self.document_length = tokens
