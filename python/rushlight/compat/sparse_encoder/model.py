"""`SparseEncoder`, on rushlight's `SparseModel`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from rushlight import SparseEmbeddings, SparseModel, _core
from rushlight.compat._calls import called_like, check_names, renamed
from rushlight.compat._compared import Compared
from rushlight.compat._loading import loading
from rushlight.compat._refused import refusing
from rushlight.compat._sparse import as_embeddings, as_tensor
from rushlight.compat._upstream import task_of, with_pairs
from rushlight.exceptions import InvalidArgumentError

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping

    from rushlight._pool import Pool

__all__ = ["SparseEncoder"]

if not TYPE_CHECKING:  # so that type checkers still know what there is
    __getattr__ = refusing(__name__)


class SparseEncoder(Compared[_core.SparseModel], SparseModel):
    """A `rushlight.SparseModel` with the arguments, members and results of `sentence_transformers.SparseEncoder`.

    Parameters
    ----------
    model_name_or_path, prompts, default_prompt_name, cache_folder, revision, local_files_only, token, max_active_dims
        As of `rushlight.SparseModel`.
    device, trust_remote_code, model_kwargs, processor_kwargs, config_kwargs, backend, modules, model_card_data
        As of `SentenceTransformer`.
    similarity_fn_name
        As of `rushlight.SparseModel`; a `SimilarityFunction`, too.

    Raises
    ------
    InvalidArgumentError
        Where an argument asks for what rushlight does not do; else as `rushlight.SparseModel`.
    """

    __module__ = "rushlight.compat._sentence_transformers"

    _similarities = ("dot", "cosine", "euclidean", "manhattan")

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
        max_active_dims: int | None = None,
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
            max_active_dims=max_active_dims,
        )
        self._padding_side = (processor_kwargs or {}).get("padding_side")

    @renamed(sentences="inputs")
    def encode(
        self,
        inputs: str | Iterable[str],
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int = 32,
        show_progress_bar: bool | None = None,
        convert_to_tensor: bool = True,
        convert_to_sparse_tensor: bool = True,
        save_to_cpu: bool = False,
        device: Any = None,
        max_active_dims: int | None = None,
        pool: Pool | None = None,
        chunk_size: int | None = None,
        **kwargs: Any,
    ) -> Any:
        """Embed texts, as `rushlight.SparseModel.encode` does, which says what the other arguments are.

        Parameters
        ----------
        convert_to_tensor
            Whether the result is one tensor `(n, d)`; if not, a list of one a text.
        convert_to_sparse_tensor
            Whether tensors are sparse.
        save_to_cpu
            Results are there in any case.
        **kwargs
            `truncation`, as of `rushlight.SparseModel.encode`, and `task`: "query" or "document" for models that embed
            them in different ways.

        Returns
        -------
        torch.Tensor, rushlight.SparseEmbeddings or list
            A sparse tensor in the COO layout; `(d,)` for a single text. Where torch is not installed,
            `SparseEmbeddings` stand for sparse tensors, and arrays for dense ones.
        """
        task = task_of(kwargs)
        check_names(self, super().encode, kwargs)
        _ = save_to_cpu  # results are there in any case
        self._check_workers(device, pool, chunk_size)
        encode = {None: super().encode, "query": super().encode_query, "document": super().encode_document}[task]
        embeddings = encode(
            with_pairs(inputs),
            prompt=self._prompt(prompt, prompt_name),
            batch_size=batch_size,
            show_progress_bar=show_progress_bar,
            max_active_dims=max_active_dims,
            **kwargs,
        )
        single = self.is_singular_input(inputs)
        if convert_to_tensor or single:
            return as_tensor(embeddings, sparse=convert_to_sparse_tensor, single=single)
        return [as_tensor(row, sparse=convert_to_sparse_tensor, single=True) for row in embeddings]

    @renamed(sentences="inputs")
    @called_like(encode)
    def encode_query(self, **options: Any) -> Any:
        """Embed queries: `encode`, with the prompt "query" where neither `prompt` nor `prompt_name` is given."""
        return self._encode_as("query", **options)

    @renamed(sentences="inputs")
    @called_like(encode)
    def encode_document(self, **options: Any) -> Any:
        """Embed documents: `encode`, with the first prompt of "document", "passage" and "corpus" that is not empty."""
        return self._encode_as("document", **options)

    # Looking at embeddings

    def decode(self, embeddings: Any, top_k: int | None = None) -> list[Any]:
        """Return the tokens of an embedding with their weights, the largest first; of several, a list for each."""
        rows, single = as_embeddings("embeddings", embeddings)
        decoded = super().decode(rows, top_k)
        return decoded[0] if single else decoded

    @staticmethod
    def sparsity(embeddings: Any) -> dict[str, float]:
        """Return how many numbers an embedding has on average, `active_dims`, and the share of zeros."""
        return SparseModel.sparsity(as_embeddings("embeddings", embeddings)[0])

    @staticmethod
    def intersection(embeddings_1: Any, embeddings_2: Any) -> Any:
        """Multiply an embedding with another, or with each of several, and keep what is above 0."""
        (first, _), (others, single) = (
            as_embeddings("embeddings_1", embeddings_1),
            as_embeddings("embeddings_2", embeddings_2),
        )
        if len(first) != 1 or first.shape[1] != others.shape[1]:
            raise InvalidArgumentError(f"embeddings_1: must be one of {others.shape[1]} columns, got {first.shape}")
        values = others.values * first.to_dense()[0, others.indices]
        rows = np.repeat(np.arange(len(others)), np.diff(others.indptr))[values > 0]
        starts = np.searchsorted(rows, np.arange(len(others) + 1))
        kept = SparseEmbeddings(starts, others.indices[values > 0], values[values > 0], others.shape)
        return as_tensor(kept, sparse=True, single=single)

    def get_sentence_embedding_dimension(self) -> int:
        """Return `embedding_dimension`; the older name."""
        return self.embedding_dimension

    def get_max_seq_length(self) -> int | None:
        """Return `max_seq_length`; the older name."""
        return self.max_seq_length
