"""Arguments of sentence-transformers' constructors, as those of rushlight's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rushlight.compat._tensors import dtype_of, name_of
from rushlight.exceptions import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Mapping

# Keywords for transformers' classes that change no result here, with the values that they may have: they say how and
# not what is computed, or ask for what rushlight does anyway. The values `None` ask for nothing.
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
    "model_max_length": "set max_seq_length instead",
    "num_labels": "a model has those that it was trained with",
    "file_name": "rushlight loads model.safetensors, or else pytorch_model.bin, or their shards",
}


def loading(
    *,
    modules: Any,
    device: Any,
    model_kwargs: Mapping[str, Any] | None,
    processor_kwargs: Mapping[str, Any] | None,
    config_kwargs: Mapping[str, Any] | None,
    model_card_data: Any,
    backend: str,
) -> dict[str, Any]:
    """Return `device` and `dtype` as rushlight takes them.

    Raises
    ------
    InvalidArgumentError
        Where an argument asks for what rushlight doesn't do.
    """
    if modules is not None:
        raise InvalidArgumentError("modules: rushlight.Model.from_backbone puts a model together of folders")
    if model_card_data is not None:
        raise InvalidArgumentError("model_card_data: rushlight writes no model cards")
    if backend != "torch":
        raise InvalidArgumentError(f"backend: rushlight computes by itself, from safetensors; got {backend!r}")
    model = dict(model_kwargs or {})
    dtypes = [model.pop(name, None) for name in ("dtype", "torch_dtype")]
    dtype = next((dtype for dtype in dtypes if dtype not in (None, "auto")), None)
    placed = model.get("device_map")
    if placed not in (None, "auto") and not isinstance(placed, dict):
        device = model.pop("device_map")  # it wins over the argument
    for argument, keywords in (
        ("model_kwargs", model),
        ("processor_kwargs", processor_kwargs),
        ("config_kwargs", config_kwargs),
    ):
        _check(argument, keywords or {})
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
