"""Arguments of the constructors of sentence-transformers, translated to those of rushlight."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

from rushlight.compat._tensors import dtype_of, name_of
from rushlight.exceptions import InvalidArgumentError

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

# Keywords for transformers' classes that change no result here, with their allowed values. They select an
# implementation, or ask for what rushlight does anyway. None asks for nothing.
_ATTENTIONS = ("eager", "sdpa", "flash_attention_2", "flash_attention_3", "flex_attention")
_TAKEN: dict[str, dict[str, tuple[Any, ...]]] = {
    "model_kwargs": {
        "add_pooling_layer": (True, False),  # no model of sentence embeddings uses BERT's pooling layer
        "attn_implementation": _ATTENTIONS,
        "device_map": ("auto",),
        "low_cpu_mem_usage": (True, False),
        "trust_remote_code": (True, False),
    },
    "processor_kwargs": {
        "padding_side": ("left", "right"),
        "trust_remote_code": (True, False),
        "use_fast": (True,),
    },
    "config_kwargs": {
        "attn_implementation": _ATTENTIONS,
        "trust_remote_code": (True, False),
        "unpad_inputs": (True, False),
        "use_memory_efficient_attention": (True, False),
    },
}
_INSTEAD = {
    "max_length": "set max_seq_length instead",
    "num_labels": "a model has the labels that it was trained with",
    "file_name": "rushlight loads model.safetensors, or else pytorch_model.bin, or their shards",
}


class Loading(TypedDict, total=False):
    """Keyword arguments that the constructors of all kinds take; `Upstream.__init__` has their defaults."""

    modules: Any
    device: Any
    prompts: Mapping[str, str | None] | None
    default_prompt_name: str | None
    cache_folder: str | os.PathLike[str] | None
    trust_remote_code: bool
    revision: str | None
    local_files_only: bool
    token: bool | str | None
    model_kwargs: Mapping[str, Any] | None
    processor_kwargs: Mapping[str, Any] | None
    config_kwargs: Mapping[str, Any] | None
    model_card_data: None
    backend: str


def check(model_card_data: Any, backend: str) -> None:
    """Check that nothing is asked for that rushlight does not do.

    Raises
    ------
    InvalidArgumentError
        An argument has another value than its default.
    """
    if model_card_data is not None:
        raise InvalidArgumentError("model_card_data: rushlight writes no model cards")
    if backend != "torch":
        raise InvalidArgumentError(f"backend: rushlight computes by itself, from safetensors; got {backend!r}")


def device_and_dtype(
    device: Any,
    model_kwargs: Mapping[str, Any] | None,
    processor_kwargs: Mapping[str, Any] | None,
    config_kwargs: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Return `device` and `dtype` for rushlight's own constructor.

    Raises
    ------
    InvalidArgumentError
        A keyword for transformers' classes would change a result.
    """
    model = dict(model_kwargs or {})
    dtypes = [model.pop(name, None) for name in ("dtype", "torch_dtype")]
    dtype = next((dtype for dtype in dtypes if dtype not in (None, "auto")), None)
    placed = model.get("device_map")
    if isinstance(placed, dict) and list(placed) == [""]:  # all modules on one device
        placed = placed[""]
    if placed not in (None, "auto") and not isinstance(placed, dict):
        device = placed  # it wins over the argument
        del model["device_map"]
    _check("model_kwargs", model)
    _check("processor_kwargs", processor_kwargs or {})
    _check("config_kwargs", config_kwargs or {})
    return {"device": name_of(device), "dtype": dtype_of(dtype) or dtype}


def _check(argument: str, keywords: Mapping[str, Any]) -> None:
    taken = _TAKEN[argument]
    for name, value in keywords.items():
        if name not in taken:
            known = ", ".join(taken)
            raise InvalidArgumentError(f"{argument}: {_INSTEAD.get(name, f'known are {known}')}; got {name!r}")
        if value is not None and value not in taken[name]:
            known = ", ".join(map(repr, taken[name]))
            raise InvalidArgumentError(f"{argument}[{name!r}]: must be one of {known}, got {value!r}")
