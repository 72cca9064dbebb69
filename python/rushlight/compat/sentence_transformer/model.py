"""`SentenceTransformer`, on rushlight's `Model`."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from rushlight import Model, _core
from rushlight._quantized import PRECISIONS
from rushlight.compat._calls import called_like, check_names, renamed
from rushlight.compat._compared import Compared
from rushlight.compat._loading import loading
from rushlight.compat._refused import refusing
from rushlight.compat._tensors import name_of, torch
from rushlight.compat._upstream import task_of, with_pairs
from rushlight.compat.quantization import quantize_embeddings
from rushlight.exceptions import InvalidArgumentError

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping
    from contextlib import AbstractContextManager

    from rushlight._pool import Pool

__all__ = ["SentenceTransformer"]

if not TYPE_CHECKING:  # so that type checkers still know what there is
    __getattr__ = refusing(__name__)


class SentenceTransformer(Compared[_core.Model], Model):
    """A `rushlight.Model` with the arguments, members and results of `sentence_transformers.SentenceTransformer`.

    Results that are tensors there are tensors here where torch is installed, and else arrays. What has no meaning here
    is refused: *From sentence-transformers* in the documentation lists what differs.

    Parameters
    ----------
    model_name_or_path, prompts, default_prompt_name, cache_folder, revision, local_files_only, token
        As of `rushlight.Model`.
    device
        As of `rushlight.Model`; a torch.device, too.
    trust_remote_code
        Taken, and without effect: rushlight never runs a model's own code.
    use_auth_token
        The older name of `token`.
    model_kwargs, processor_kwargs, config_kwargs
        Keywords for transformers' classes. Those are taken that ask for what rushlight does: `torch_dtype` or `dtype`,
        `device_map` for one device, `padding_side`, and some that change no result, such as `attn_implementation`.
    backend
        "torch", which stands for rushlight itself.
    similarity_fn_name
        As of `rushlight.Model`; a `SimilarityFunction`, too.
    truncate_dim
        As of `rushlight.Model`.
    modules, model_card_data
        None.

    Raises
    ------
    InvalidArgumentError
        Where an argument asks for what rushlight does not do; else as `rushlight.Model`.

    Examples
    --------
    >>> from rushlight.compat import SentenceTransformer
    >>> model = SentenceTransformer("all-MiniLM-L6-v2")
    >>> model.encode(["The weather is lovely today."]).shape
    (1, 384)
    """

    __module__ = "rushlight.compat._sentence_transformers"

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
        use_auth_token: bool | str | None = None,
        model_kwargs: Mapping[str, Any] | None = None,
        processor_kwargs: Mapping[str, Any] | None = None,
        config_kwargs: Mapping[str, Any] | None = None,
        model_card_data: None = None,
        backend: str = "torch",
        similarity_fn_name: str | None = None,
        truncate_dim: int | None = None,
    ) -> None:
        _ = trust_remote_code  # a permission that is never used
        if use_auth_token is not None:
            warnings.warn("use_auth_token is now called token", FutureWarning, stacklevel=3)
            if token is not None:
                raise InvalidArgumentError("use_auth_token: it is now called token, which is given, too")
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
            token=token if use_auth_token is None else use_auth_token,
            similarity_fn_name=similarity_fn_name,
            truncate_dim=truncate_dim,
        )
        self._padding_side = (processor_kwargs or {}).get("padding_side")

    # Embedding

    @renamed(sentences="inputs")
    def encode(
        self,
        inputs: str | Iterable[str | tuple[str, str]],
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
        """Embed texts, as `rushlight.Model.encode` does, which says what the arguments are.

        Token embeddings have a `precision`, too, and workers, which must be on the model's own device; what
        `output_value=None` gives is not normalized but by the model. `**kwargs` are those of its arguments that
        sentence-transformers lacks, `truncation` and `out`, and `task`: "query" or "document" for models that embed
        them in different ways.
        """
        task = task_of(kwargs)
        check_names(self, super().encode, kwargs)
        tokens_in_bits = output_value == "token_embeddings" and precision in PRECISIONS and precision != "float32"
        if output_value != "sentence_embedding":
            convert_to_numpy, convert_to_tensor, normalize_embeddings = torch() is None, False, False
            self._check_workers(device, pool, chunk_size)
            device = pool = chunk_size = None  # one gives the same as several
        result = Model.encode(
            self if task is None else self._routed(task),
            with_pairs(inputs),
            prompt=self._prompt(prompt, prompt_name),
            batch_size=batch_size,
            show_progress_bar=show_progress_bar,
            output_value=output_value,
            precision="float32" if precision is None or tokens_in_bits else precision,
            convert_to_numpy=convert_to_numpy,
            convert_to_tensor=convert_to_tensor,
            device=list(map(name_of, device)) if isinstance(device, (list, tuple)) else name_of(device),
            normalize_embeddings=normalize_embeddings,
            truncate_dim=truncate_dim,
            pool=pool,
            chunk_size=chunk_size,
            **kwargs,
        )
        return _quantized(result, precision) if tokens_in_bits else result

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
        """Embed texts by the workers of a pool: `encode`; the older name."""
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
        """Return a pool of threads, one for each of the devices; see `rushlight.Model.start_multi_process_pool`."""
        return Model.start_multi_process_pool(self, None if target_devices is None else map(name_of, target_devices))

    def get_max_seq_length(self) -> int | None:
        """Return `max_seq_length`; the older name."""
        return self.max_seq_length

    def truncate_sentence_embeddings(self, truncate_dim: int | None) -> AbstractContextManager[None]:
        """Return `truncate_embeddings`; the older name."""
        return self.truncate_embeddings(truncate_dim)

    # Loading

    @staticmethod
    def load(input_path: str | os.PathLike[str]) -> SentenceTransformer:
        """Return `SentenceTransformer(input_path)`; the older name."""
        return SentenceTransformer(input_path)


def _quantized(tokens: Any, precision: str) -> Any:
    """Return the embeddings of tokens in fewer bits, with ranges that the texts have in common."""
    if isinstance(tokens, list):
        return quantize_embeddings(tokens, precision) if tokens else tokens
    return quantize_embeddings([tokens], precision)[0]
