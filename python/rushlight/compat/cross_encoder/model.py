"""`CrossEncoder`, on rushlight's `Reranker`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from rushlight import Reranker, _arguments, _core
from rushlight.compat._calls import check_names, renamed
from rushlight.compat._loading import loading
from rushlight.compat._refused import refusing
from rushlight.compat._tensors import tensor
from rushlight.compat._upstream import Upstream, task_of
from rushlight.exceptions import InvalidArgumentError

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Mapping

    from rushlight._pool import Pool

__all__ = ["CrossEncoder"]

if not TYPE_CHECKING:  # so that type checkers still know what there is
    __getattr__ = refusing(__name__)


class CrossEncoder(Upstream[_core.Reranker], Reranker):
    """A `rushlight.Reranker` with the arguments, members and results of `sentence_transformers.CrossEncoder`.

    Parameters
    ----------
    model_name_or_path, prompts, default_prompt_name, cache_folder, revision, local_files_only, token, max_length
        As of `rushlight.Reranker`.
    device, trust_remote_code, model_kwargs, processor_kwargs, config_kwargs, backend, modules, model_card_data
        As of `SentenceTransformer`.
    num_labels
        None, or as many as the model has.
    activation_fn
        As of `rushlight.Reranker`. A callable, such as `torch.nn.Sigmoid()`, gets a tensor where torch is installed.
    keep_in_fp32_modules
        Names of modules: all of them compute in float32.

    Raises
    ------
    InvalidArgumentError
        Where an argument asks for what rushlight does not do; else as `rushlight.Reranker`.
    """

    __module__ = "rushlight.compat._sentence_transformers"

    @renamed(
        "num_labels",
        "max_length",
        "activation_fn",
        "device",
        model_name="model_name_or_path",
        automodel_args="model_kwargs",
        tokenizer_args="processor_kwargs",
        tokenizer_kwargs="processor_kwargs",
        config_args="config_kwargs",
        cache_dir="cache_folder",
        default_activation_function="activation_fn",
        classifier_dropout=None,
    )
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
        num_labels: int | None = None,
        max_length: int | None = None,
        activation_fn: str | Callable[[Any], Any] | None = None,
        keep_in_fp32_modules: list[str] | None = None,
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
            max_length=max_length,
            activation_fn=activation_fn,
        )
        self._padding_side = (processor_kwargs or {}).get("padding_side")
        self.set_keep_in_fp32_modules(keep_in_fp32_modules or [])
        if num_labels not in (None, self.num_labels):
            raise InvalidArgumentError(f"num_labels: this model has {self.num_labels}, got {num_labels!r}")

    @renamed(sentences="inputs", activation_fct="activation_fn", num_workers=None)
    def predict(
        self,
        inputs: Any,
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int = 32,
        show_progress_bar: bool | None = None,
        activation_fn: str | Callable[[Any], Any] | None = None,
        apply_softmax: bool | None = False,
        convert_to_numpy: bool = True,
        convert_to_tensor: bool = False,
        device: Any = None,
        pool: Pool | None = None,
        chunk_size: int | None = None,
        **kwargs: Any,
    ) -> Any:
        """Score pairs of texts, as `rushlight.Reranker.predict` does, which says what the arguments are.

        `**kwargs` are those of its arguments that sentence-transformers lacks: `truncation`. With
        `convert_to_numpy=False` the result is a list of tensors, and for a single pair its score is a `numpy.float32`.
        """
        self._check_workers(device, pool, chunk_size)
        task_of(kwargs)
        check_names(self, super().predict, kwargs)
        if hasattr(inputs, "to_numpy"):  # rows of a table
            inputs = inputs.to_numpy()
        if isinstance(inputs, np.ndarray):
            inputs = inputs.tolist()
        single = self.is_singular_input(inputs)
        scores = super().predict(
            [inputs] if single else inputs,
            prompt_name=prompt_name,
            prompt=prompt,
            batch_size=batch_size,
            show_progress_bar=show_progress_bar,
            activation_fn=_on_tensors(self.activation_fn if activation_fn is None else activation_fn),
            apply_softmax=bool(apply_softmax),
            convert_to_tensor=convert_to_tensor or not convert_to_numpy,
            **kwargs,
        )
        if single:
            return scores[0]
        return scores if convert_to_numpy or convert_to_tensor else list(scores)

    @renamed(
        sentences="inputs",
        activation_fct="activation_fn",
        num_workers=None,
        apply_softmax=None,
        convert_to_numpy=None,
        convert_to_tensor=None,
    )
    def rank(  # type: ignore[override]  # it has fewer arguments there
        self,
        query: str,
        documents: Iterable[str],
        top_k: int | None = None,
        return_documents: bool = False,
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int = 32,
        show_progress_bar: bool | None = None,
        activation_fn: str | Callable[[Any], Any] | None = None,
        device: Any = None,
        pool: Pool | None = None,
        chunk_size: int | None = None,
    ) -> list[dict[str, Any]]:
        """Order documents by their scores with a query, as `rushlight.Reranker.rank` does; `top_k` may be 0, too."""
        if top_k is not None:
            top_k = _arguments.at_least(0, "top_k", top_k)
        return super().rank(
            query,
            documents,
            return_documents=return_documents,
            prompt_name=prompt_name,
            prompt=prompt,
            batch_size=batch_size,
            show_progress_bar=show_progress_bar,
            activation_fn=activation_fn,
            device=device,
            pool=pool,
            chunk_size=chunk_size,
        )[:top_k]

    def is_singular_input(self, inputs: Any) -> bool:
        """Tell whether inputs are a single pair."""
        pairs = (list, tuple, np.ndarray)
        return isinstance(inputs, str) or (isinstance(inputs, pairs) and len(inputs) > 0 and isinstance(inputs[0], str))

    @property
    def max_seq_length(self) -> int | None:
        """The same as `max_length`."""
        return self.max_length

    @max_seq_length.setter
    def max_seq_length(self, tokens: int) -> None:
        self.max_length = tokens

    def get_max_seq_length(self) -> int | None:
        """Return `max_length`."""
        return self.max_length

    @property
    def default_activation_function(self) -> str | Callable[[Any], Any]:
        """The same as `activation_fn`; the older name."""
        return self.activation_fn

    def get_default_activation_fn(self) -> str:
        """Return the name of the activation that the model's folder names."""
        return self._engine.default_activation_fn()

    def _saved(self) -> tuple[Any, ...]:
        name = _name_of(self.activation_fn)
        return super()._saved() if name is None else (name,)

    def set_keep_in_fp32_modules(self, module_names: list[str]) -> None:
        """Check that the model computes in float32, as all of its modules do then."""
        if module_names and self._place[1] not in {None, "float32"}:
            raise InvalidArgumentError(f"keep_in_fp32_modules: all modules compute in one dtype, {self._place[1]!r}")


def _on_tensors(activation: str | Callable[[Any], Any]) -> str | Callable[[Any], Any]:
    """Return a callable on tensors as one on arrays."""
    return activation if isinstance(activation, str) else lambda logits: activation(tensor(logits))


def _name_of(activation: str | Callable[[Any], Any]) -> str | None:
    """Return the name of one of torch's modules that rushlight has, too, and None for what is none."""
    kind: Any = type(activation)
    name = kind.__name__.lower()
    if not kind.__module__.startswith("torch.nn.") or name not in _core.ACTIVATIONS:
        return None
    over_labels = name == "softmax" and getattr(activation, "dim", None) in (None, 1, -1)
    # rushlight has them with the parameters that they have by default.
    return name if over_labels or repr(activation) == repr(kind()) else None
