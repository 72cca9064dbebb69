"""`SparseEncoder`, on rushlight's `SparseModel`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from rushlight import SparseEmbeddings, SparseModel, _core
from rushlight.compat._calls import called_like, check_names, extending, processing, renamed
from rushlight.compat._compared import Compared
from rushlight.compat._sparse import as_embeddings, as_tensor, is_sparse
from rushlight.compat._upstream import Upstream, task_of, with_pairs
from rushlight.exceptions import InvalidArgumentError, InvalidInputError

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable

    from typing_extensions import Unpack

    from rushlight._pool import Pool
    from rushlight.compat._loading import Loading

__all__ = ["SparseEncoder"]


class SparseEncoder(Compared[_core.SparseModel], SparseModel):
    """`rushlight.SparseModel` with the arguments, members and results of `sentence_transformers.SparseEncoder`.

    Parameters
    ----------
    model_name_or_path, prompts, default_prompt_name, cache_folder, revision, local_files_only, token, max_active_dims
        See `rushlight.SparseModel`.
    device, trust_remote_code, model_kwargs, processor_kwargs, config_kwargs, backend, modules, model_card_data
        See `SentenceTransformer`.
    similarity_fn_name
        Name as for `rushlight.SparseModel`, or a `SimilarityFunction`.

    Raises
    ------
    InvalidArgumentError
        An argument asks for something that rushlight does not do. Other errors are those of `rushlight.SparseModel`.
    """

    __module__ = "rushlight.compat._sentence_transformers"
    model_type = "SparseEncoder"
    default_huggingface_organization = SparseModel._organization
    SUPPORTED_SIMILARITY_FN_NAMES: ClassVar[tuple[str, ...]] = ("cosine", "dot", "euclidean", "manhattan")

    @renamed(tokenizer_kwargs="processor_kwargs")
    @extending(Upstream.__init__)
    def __init__(
        self,
        model_name_or_path: str | os.PathLike[str] | None = None,
        *,
        similarity_fn_name: str | None = None,
        max_active_dims: int | None = None,
        **loading: Unpack[Loading],
    ) -> None:
        super().__init__(
            model_name_or_path, similarity_fn_name=similarity_fn_name, max_active_dims=max_active_dims, **loading
        )

    @renamed(sentences="inputs")
    @processing
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
        """Embed texts; see `rushlight.SparseModel.encode` for the other arguments.

        Parameters
        ----------
        convert_to_tensor
            Return one tensor `(n, d)`; False returns a list with a tensor per text.
        convert_to_sparse_tensor
            Return sparse tensors; False returns dense ones.
        save_to_cpu
            No effect: results are in CPU memory.
        **kwargs
            rushlight's own `truncation`, and `task`, "query" or "document", for models that embed them differently.

        Returns
        -------
        torch.Tensor, rushlight.SparseEmbeddings or list
            Sparse tensor in the COO layout, `(n, d)`, or `(d,)` for a single text. Without torch, `SparseEmbeddings`
            replace sparse tensors, and arrays replace dense ones.
        """
        task = task_of(kwargs)
        check_names(self, super().encode, kwargs)
        _ = save_to_cpu
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
        """Embed queries: `encode` with the prompt "query", unless `prompt` or `prompt_name` is given."""
        return self._encode_as("query", **options)

    @renamed(sentences="inputs")
    @called_like(encode)
    def encode_document(self, **options: Any) -> Any:
        """Embed documents: `encode` with the first non-empty prompt of "document", "passage" and "corpus"."""
        return self._encode_as("document", **options)

    # Inspecting embeddings

    def decode(self, embeddings: Any, top_k: int | None = None) -> list[Any]:
        """Return the tokens of an embedding with their weights, largest first; a list of such lists for several."""
        if not hasattr(embeddings, "shape") and not is_sparse(embeddings):
            raise InvalidInputError(f"embeddings: must be an array or a tensor, got {type(embeddings).__name__}")
        rows, single = as_embeddings("embeddings", embeddings)
        decoded = super().decode(rows, top_k)
        return decoded[0] if single else decoded

    @staticmethod
    def sparsity(embeddings: Any) -> dict[str, float]:
        """Return `active_dims`, the mean number of nonzero columns, and `sparsity_ratio`, the share of zeros."""
        return SparseModel.sparsity(as_embeddings("embeddings", embeddings)[0])

    @staticmethod
    def intersection(embeddings_1: Any, embeddings_2: Any) -> Any:
        """Multiply an embedding elementwise by another, or by each of several, and keep products above 0."""
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
