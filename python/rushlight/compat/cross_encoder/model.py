"""`CrossEncoder`, on rushlight's `Reranker`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from rushlight import Reranker, _arguments, _core
from rushlight.compat._activations import ActivationName
from rushlight.compat._calls import check_names, extending, processing, renamed
from rushlight.compat._parts import LogitScore
from rushlight.compat._pretrained import pretrained
from rushlight.compat._tensors import tensor
from rushlight.compat._upstream import Upstream, task_of
from rushlight.exceptions import InvalidArgumentError

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable

    from typing_extensions import Unpack

    from rushlight._pool import Pool
    from rushlight.compat._loading import Loading
    from rushlight.compat._pretrained import Config, PreTrainedModel

__all__ = ["CrossEncoder"]


class CrossEncoder(Upstream[_core.Reranker], Reranker):
    """`rushlight.Reranker` with the arguments, members and results of `sentence_transformers.CrossEncoder`.

    Parameters
    ----------
    model_name_or_path, prompts, default_prompt_name, cache_folder, revision, local_files_only, token, max_length
        See `rushlight.Reranker`.
    device, trust_remote_code, model_kwargs, processor_kwargs, config_kwargs, backend, modules, model_card_data
        See `SentenceTransformer`.
    num_labels
        None, or the number of labels that the model has.
    activation_fn
        Name as for `rushlight.Reranker`, or a callable such as `torch.nn.Sigmoid()`. A callable receives a tensor if
        torch is installed, and an array if not.
    keep_in_fp32_modules
        Names of modules to compute in float32; the model must compute in float32.

    Raises
    ------
    InvalidArgumentError
        An argument asks for something that rushlight does not do. Other errors are those of `rushlight.Reranker`.
    """

    __module__ = "rushlight.compat._sentence_transformers"
    model_type = "CrossEncoder"
    default_huggingface_organization = Reranker._organization

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
    @extending(Upstream.__init__)
    def __init__(
        self,
        model_name_or_path: str | os.PathLike[str] | None = None,
        *,
        num_labels: int | None = None,
        max_length: int | None = None,
        activation_fn: str | Callable[[Any], Any] | None = None,
        keep_in_fp32_modules: list[str] | None = None,
        **loading: Unpack[Loading],
    ) -> None:
        max_length = _arguments.optional_positive("max_length", max_length)
        super().__init__(model_name_or_path, activation_fn=activation_fn, **loading)
        if max_length is not None:
            self._set_limit(max_length)
        if isinstance(self[-1], LogitScore):
            self._padding_side = "left"  # the last token's logits are scored
        self.set_keep_in_fp32_modules(keep_in_fp32_modules or [])
        if num_labels not in (None, self.num_labels):
            raise InvalidArgumentError(f"num_labels: this model has {self.num_labels}, got {num_labels!r}")

    @renamed(sentences="inputs", activation_fct="activation_fn", num_workers=None)
    @processing
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
        """Score pairs of texts; see `rushlight.Reranker.predict` for the arguments.

        `**kwargs` is rushlight's own `truncation`. With `convert_to_numpy=False` the result is a list of tensors. The
        score of a single pair is a `numpy.float32`.
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
        """Sort documents by their scores for a query; see `rushlight.Reranker.rank`. `top_k` may be 0."""
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
        """Return True for a single pair."""
        pairs = (list, tuple, np.ndarray)
        return isinstance(inputs, str) or (isinstance(inputs, pairs) and len(inputs) > 0 and isinstance(inputs[0], str))

    @property
    def max_seq_length(self) -> int | None:
        """Alias of `max_length`."""
        return self.max_length

    @max_seq_length.setter
    def max_seq_length(self, tokens: int) -> None:
        self.max_length = tokens

    @property
    def model(self) -> PreTrainedModel:
        """Transformer of the model: its `name_or_path` and its `config`."""
        return pretrained(self._engine.folder)

    @property
    def config(self) -> Config:
        """Settings of the transformer, read from `config.json`."""
        return self.model.config

    @property
    def default_activation_function(self) -> Any:
        """Alias of `activation_fn`; the older name."""
        return self.activation_fn

    def get_default_activation_fn(self) -> str:
        """Return the activation in the model's folder, a name that can be called."""
        return ActivationName(self._engine.default_activation_fn())

    @property
    def activation_fn(self) -> Any:
        """Function of the logits for calls that give none: the callable that was given, or a name that can be called.

        Set it to a name or a callable.
        """
        chosen = super().activation_fn
        return ActivationName(chosen) if isinstance(chosen, str) else chosen

    @activation_fn.setter
    def activation_fn(self, activation: str | Callable[[Any], Any]) -> None:
        Reranker.activation_fn.fset(self, activation)  # type: ignore[attr-defined]  # a property

    def _saved(self) -> tuple[Any, ...]:
        name = _name_of(self.activation_fn)
        return super()._saved() if name is None else (name,)

    def set_keep_in_fp32_modules(self, module_names: list[str]) -> None:
        """Check that the model, and so each of its modules, computes in float32."""
        if module_names and self._device_and_dtype[1] not in {None, "float32"}:
            raise InvalidArgumentError(
                f"keep_in_fp32_modules: all modules compute in one dtype, {self._device_and_dtype[1]!r}"
            )


def _on_tensors(activation: str | Callable[[Any], Any]) -> str | Callable[[Any], Any]:
    """Wrap a callable on tensors as one on arrays."""
    return activation if isinstance(activation, str) else lambda logits: activation(tensor(logits))


def _name_of(activation: str | Callable[[Any], Any]) -> str | None:
    """Return rushlight's name for a module of torch, or None if it has none."""
    kind: Any = type(activation)
    name = kind.__name__.lower()
    if not kind.__module__.startswith("torch.nn.") or name not in _core.ACTIVATIONS:
        return None
    over_labels = name == "softmax" and getattr(activation, "dim", None) in (None, 1, -1)
    # rushlight has these modules with their default parameters only.
    return name if over_labels or repr(activation) == repr(kind()) else None
