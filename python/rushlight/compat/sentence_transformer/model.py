"""`SentenceTransformer`, on rushlight's `Model`."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, ClassVar

from rushlight import Model, _core, _images
from rushlight._quantized import PRECISIONS
from rushlight.compat._calls import called_like, check_names, extending, processing, renamed
from rushlight.compat._compared import Compared
from rushlight.compat._tensors import name_of, names_of, torch
from rushlight.compat._upstream import Upstream, role_and_task_of, with_pairs
from rushlight.compat.util.quantization import quantize_embeddings
from rushlight.exceptions import InvalidArgumentError

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable
    from contextlib import AbstractContextManager

    from typing_extensions import Unpack

    from rushlight._images import Image
    from rushlight._pool import Pool
    from rushlight.compat._loading import Loading

__all__ = ["SentenceTransformer"]


class SentenceTransformer(Compared[_core.Model], Model):
    """`rushlight.Model` with the arguments, members and results of `sentence_transformers.SentenceTransformer`.

    Results that are torch tensors there are torch tensors here if torch is installed, and arrays if not. Unsupported
    arguments and members raise an error; *From sentence-transformers* in the documentation lists the differences.

    Parameters
    ----------
    model_name_or_path, prompts, default_prompt_name, cache_folder, revision, local_files_only, token, truncate_dim
        See `rushlight.Model`.
    device
        Name as for `rushlight.Model`, or a `torch.device`.
    trust_remote_code
        No effect: rushlight never runs a model's own code.
    use_auth_token
        Older name of `token`.
    model_kwargs, processor_kwargs, config_kwargs
        Keywords for transformers' classes. Supported are `torch_dtype` or `dtype`, `device_map` for one device,
        `padding_side`, and some that change no result, such as `attn_implementation`.
    backend
        "torch", which selects rushlight.
    similarity_fn_name
        Name as for `rushlight.Model`, or a `SimilarityFunction`.
    modules, model_card_data
        None.

    Raises
    ------
    InvalidArgumentError
        An argument asks for something that rushlight does not do. Other errors are those of `rushlight.Model`.

    Examples
    --------
    >>> from rushlight.compat import SentenceTransformer
    >>> model = SentenceTransformer("all-MiniLM-L6-v2")
    >>> model.encode(["The weather is lovely today."]).shape
    (1, 384)
    """

    __module__ = "rushlight.compat._sentence_transformers"
    model_type = "SentenceTransformer"
    default_huggingface_organization = Model._organization
    SUPPORTED_SIMILARITY_FN_NAMES: ClassVar[tuple[str, ...]] = ("cosine", "dot", "euclidean", "manhattan")

    @renamed(tokenizer_kwargs="processor_kwargs")
    @extending(Upstream.__init__)
    def __init__(
        self,
        model_name_or_path: str | os.PathLike[str] | None = None,
        *,
        use_auth_token: bool | str | None = None,
        similarity_fn_name: str | None = None,
        truncate_dim: int | None = None,
        **loading: Unpack[Loading],
    ) -> None:
        if use_auth_token is not None:
            warnings.warn("use_auth_token is now called token", FutureWarning, stacklevel=4)
            if loading.get("token") is not None:
                raise InvalidArgumentError("use_auth_token: it is now called token, which is given, too")
            loading["token"] = use_auth_token
        super().__init__(
            model_name_or_path, similarity_fn_name=similarity_fn_name, truncate_dim=truncate_dim, **loading
        )

    # Embedding

    @renamed(sentences="inputs")
    @processing
    def encode(
        self,
        inputs: str | Image | Iterable[str | tuple[str, str] | Image],
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int = 32,
        show_progress_bar: bool | None = None,
        output_value: Any = "sentence_embedding",
        precision: Any = "float32",
        convert_to_numpy: bool = True,
        convert_to_tensor: bool = False,
        device: Any = None,
        normalize_embeddings: bool = False,
        truncate_dim: int | None = None,
        pool: Pool | None = None,
        chunk_size: int | None = None,
        **kwargs: Any,
    ) -> Any:
        """Embed texts; see `rushlight.Model.encode` for the arguments.

        Token embeddings support `precision`, and workers on the model's own device. `normalize_embeddings` has no
        effect with `output_value=None`. `**kwargs` are rushlight's own `truncation` and `out`, and `task`: "query" or
        "document", for models that embed them differently, or one of `tasks`.
        """
        role, task = role_and_task_of(kwargs, self.tasks)
        check_names(self, super().encode, kwargs)
        tokens_in_bits = output_value == "token_embeddings" and precision in PRECISIONS and precision != "float32"
        if output_value != "sentence_embedding":
            convert_to_numpy, convert_to_tensor, normalize_embeddings = torch() is None, False, False
            self._check_workers(device, pool, chunk_size)
            device = pool = chunk_size = None  # one gives the same as several
        result = super().encode(
            self._inputs(inputs),
            role=role,
            task=task,
            prompt=self._prompt(prompt, prompt_name),
            batch_size=batch_size,
            show_progress_bar=show_progress_bar,
            output_value=output_value,
            precision="float32" if precision is None or tokens_in_bits else precision,
            convert_to_numpy=convert_to_numpy,
            convert_to_tensor=convert_to_tensor,
            device=names_of(device),
            normalize_embeddings=normalize_embeddings,
            truncate_dim=truncate_dim,
            pool=pool,
            chunk_size=chunk_size,
            **kwargs,
        )
        if output_value is None:
            return self._with_modality(result, self._prompt(prompt, prompt_name))
        return _quantized(result, precision) if tokens_in_bits else result

    def _inputs(self, inputs: Any) -> Any:
        """Return inputs as `rushlight.Model` takes them."""
        return _images.as_sentence_transformers(inputs) if self._engine.embeds_images else with_pairs(inputs)

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

    def get_model_kwargs(self) -> list[str]:
        """Return the additional arguments of the model's own code: `task`, if it has tasks."""
        return ["task"] if self.tasks else []

    def encode_multi_process(  # type: ignore[override]  # it has other names there
        self,
        sentences: Iterable[str],
        pool: Pool,
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int = 32,
        chunk_size: int | None = None,
        show_progress_bar: bool | None = None,
        precision: Any = "float32",
        normalize_embeddings: bool = False,
        truncate_dim: int | None = None,
    ) -> Any:
        """Call `encode` with a pool; the older name."""
        return self.encode(
            sentences,
            prompt_name,
            prompt,
            batch_size,
            show_progress_bar,
            precision=precision,
            normalize_embeddings=normalize_embeddings,
            truncate_dim=truncate_dim,
            pool=pool,
            chunk_size=chunk_size,
        )

    def start_multi_process_pool(self, target_devices: Iterable[Any] | None = None) -> Pool:
        """Return a pool with a thread for each device; see `rushlight.Model.start_multi_process_pool`."""
        return Model.start_multi_process_pool(self, None if target_devices is None else map(name_of, target_devices))

    def truncate_sentence_embeddings(self, truncate_dim: int | None) -> AbstractContextManager[None]:
        """Call `truncate_embeddings`; the older name."""
        return self.truncate_embeddings(truncate_dim)

    # Loading

    @staticmethod
    def load(input_path: str | os.PathLike[str]) -> SentenceTransformer:
        """Return `SentenceTransformer(input_path)`; the older name."""
        return SentenceTransformer(input_path)


def _quantized(tokens: Any, precision: str) -> Any:
    """Quantize token embeddings with ranges that the texts share."""
    if isinstance(tokens, list):
        return quantize_embeddings(tokens, precision) if tokens else tokens
    return quantize_embeddings([tokens], precision)[0]
