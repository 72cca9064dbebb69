"""Members of sentence-transformers' models of all kinds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, cast

import numpy as np

from rushlight import _arguments
from rushlight._loaded import Core, Loaded
from rushlight._pool import Pool, devices_of
from rushlight.compat._calls import called_like
from rushlight.compat._refused import NO_MODULE, refuse_member
from rushlight.compat._tensors import dtype_of, name_of, tensor, torch
from rushlight.compat._tokenizer import Tokenizer
from rushlight.compat._tokens import Tokens
from rushlight.exceptions import DeviceError, InvalidArgumentError, InvalidInputError, UnsupportedFeatureError

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable

    from typing_extensions import Self

    from rushlight._loaded import Role

# Methods that `encode` and `predict` call in sentence-transformers, and never here.
_HOOKS = "forward", "preprocess"


class NoCard:
    """What evaluators of sentence-transformers tell their results, for a model card that isn't written."""

    def set_evaluation_metrics(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing."""


class Upstream(Loaded[Core]):
    """What models of sentence-transformers have beside what those of rushlight have.

    They are torch modules there. What is said of one that asks for nothing, such as `.eval()`, `.to("cpu")` or
    `.float()`, returns the model; what asks for another device or dtype than its own is a DeviceError.
    """

    training = False
    _padding_side: str | None = None
    model_card_data = NoCard()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Refuse a subclass that overrides what would never be called."""
        super().__init_subclass__(**kwargs)
        for name in _HOOKS:
            if getattr(cls, name, None) is not getattr(Upstream, name, None):
                raise UnsupportedFeatureError(
                    f"{cls.__name__}.{name}: rushlight computes and never calls it; override encode or predict"
                )

    def _load(
        self,
        name: str | os.PathLike[str],
        *,
        prompts: Mapping[str, str | None] | None,
        default_prompt_name: str | None,
        **options: Any,
    ) -> Path:
        """Load the model; a prompt that is None is the one in its folder, and "" where that has none."""
        if not isinstance(prompts, Mapping) or None not in prompts.values():
            given = cast("Mapping[str, str] | None", prompts)
            return super()._load(name, prompts=given, default_prompt_name=default_prompt_name, **options)
        given = {key: prompt for key, prompt in prompts.items() if prompt is not None}
        folder = super()._load(name, prompts=given, default_prompt_name=None, **options)
        self.prompts = {**dict.fromkeys(prompts, ""), **self.prompts}
        if default_prompt_name is not None:
            self.default_prompt_name = default_prompt_name
        return folder

    @property
    def device(self) -> Any:
        """Where the model computes: a torch.device where torch is installed, and else its name."""
        module = torch()
        return self._engine.device if module is None else module.device(self._engine.device)

    @property
    def dtype(self) -> Any:
        """What the model computes in: a torch.dtype where torch is installed, and else its name."""
        module, name = torch(), super().dtype
        return name if module is None else getattr(module, name)

    def to(self, device: Any = None, dtype: Any = None, non_blocking: bool = False) -> Self:
        """Return the model, which must be on that device and of that dtype: both are chosen when it is loaded."""
        _ = non_blocking  # nothing is moved
        if dtype_of(device) is not None:
            device, dtype = None, device
        self._check_device(name_of(device))
        name, own = dtype_of(dtype) or dtype, super().dtype
        if name not in (None, own):
            raise DeviceError(f"dtype {name!r}: this model computes in {own!r}")
        return self

    def cpu(self) -> Self:
        """Return the model, which must be on the CPU."""
        return self.to("cpu")

    def cuda(self, device: Any = None) -> Self:
        """Return the model, which must be on that GPU."""
        return self.to("cuda" if device is None else device)

    def float(self) -> Self:
        """Return the model, which must compute in float32."""
        return self.to(dtype="float32")

    def double(self) -> Self:
        """Raise DeviceError: no model computes in float64."""
        return self.to(dtype="float64")

    def half(self) -> Self:
        """Return the model, which must compute in float16."""
        return self.to(dtype="float16")

    def bfloat16(self) -> Self:
        """Return the model, which must compute in bfloat16."""
        return self.to(dtype="bfloat16")

    def eval(self) -> Self:
        """Return the model."""
        return self

    def train(self, mode: bool = True) -> Self:
        """Return the model, if `mode` is False."""
        if mode:
            raise UnsupportedFeatureError(f"{type(self).__name__}.train: rushlight does not train")
        return self

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Return the model, if `requires_grad` is False."""
        return self.train(requires_grad)

    def share_memory(self) -> Self:
        """Return the model, whose weights are shared by all threads; processes map the same file."""
        return self

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing: the model is compiled code already."""

    def get_backend(self) -> str:
        """Return "rushlight"."""
        return "rushlight"

    @property
    def modalities(self) -> list[str]:
        """What can be embedded: "text"."""
        return ["text"]

    def supports(self, modality: Any) -> bool:
        """Tell whether a modality is "text"."""
        return modality in self.modalities

    def get_model_kwargs(self) -> list[str]:
        """Return what a model's own code takes beside the rest: nothing."""
        return []

    def is_singular_input(self, inputs: Any) -> bool:
        """Tell whether inputs are a single text."""
        return isinstance(inputs, str)

    def evaluate(self, evaluator: Callable[[Any, str | None], Any], output_path: str | None = None) -> Any:
        """Return what an evaluator says of the model; the folder `output_path` is for what it writes."""
        if output_path is not None:
            Path(output_path).mkdir(parents=True, exist_ok=True)
        return evaluator(self, output_path)

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer, with what is used of transformers' tokenizers; of documents where queries have another."""
        return Tokenizer(self._engine, self._padding_side)

    def preprocess(self, inputs: Iterable[str | tuple[str, str]], prompt: str | None = None, **kwargs: Any) -> Tokens:
        """Return the token ids of texts or pairs, after a prompt, as the model's own `tokenize` does.

        `**kwargs` is `task`: "query" or "document", for models that read them in different ways.
        """
        task = task_of(kwargs)
        if kwargs:
            raise InvalidArgumentError(f"kwargs: known are 'prompt' and 'task', got {', '.join(map(repr, kwargs))}")
        texts = with_pairs(inputs)
        if isinstance(texts, str):
            raise InvalidInputError("inputs: must be a list of texts, got a str")
        if prompt:
            texts = [_after(prompt, text) for text in texts]
        tokens = self._tokens(texts, None if task is None else task == "query")
        if self._padding_side is not None:
            mask = tokens["attention_mask"]
            order = np.argsort(mask if self._padding_side == "left" else -mask, axis=1, kind="stable")
            tokens = {name: np.take_along_axis(values, order, 1) for name, values in tokens.items()}
        return Tokens(tensor(tokens))

    def tokenize(self, texts: Iterable[str | tuple[str, str]], **kwargs: Any) -> Tokens:
        """Return `preprocess`; the older name."""
        return self.preprocess(texts, **kwargs)

    def save_pretrained(
        self,
        path: str | os.PathLike[str],
        model_name: str | None = None,
        create_model_card: bool = False,
        train_datasets: list[str] | None = None,
        safe_serialization: bool = True,
    ) -> None:
        """Save the model as a folder that rushlight and sentence-transformers load, without a model card.

        `model_name` is what a card would call it, and changes nothing.

        Raises
        ------
        InvalidArgumentError
            Where a model card, or weights other than safetensors are asked for; else as of rushlight's own model.
        """
        _ = model_name
        for argument, value in (("create_model_card", create_model_card), ("train_datasets", train_datasets)):
            if value:
                raise InvalidArgumentError(f"{argument}: rushlight writes no model cards")
        if not safe_serialization:
            raise InvalidArgumentError("safe_serialization: rushlight writes safetensors alone")
        super().save_pretrained(path)

    @called_like(save_pretrained)
    def save(self, **options: Any) -> None:
        """Save the model; see `save_pretrained`."""
        self.save_pretrained(**options)

    def start_multi_process_pool(self, target_devices: Iterable[Any] | None = None) -> Pool:
        """Return a pool of threads, one for each of the devices, which must be the model's."""
        pool = Pool([self._engine.device] if target_devices is None else map(name_of, target_devices))
        for device in pool.devices():
            self._check_device(device)
        return pool

    @staticmethod
    def stop_multi_process_pool(pool: Pool) -> None:
        """End a pool."""
        pool.close()

    def _check_workers(self, device: Any, pool: Pool | None, chunk_size: int | None) -> None:
        """Check who is to compute; on one device, all threads do in any case."""
        if chunk_size is not None:
            _arguments.positive("chunk_size", chunk_size)
        if pool is not None and not isinstance(pool, Pool):
            raise InvalidArgumentError(f"pool: must come from start_multi_process_pool, got {type(pool).__name__}")
        if pool is not None:
            devices = pool.devices()
        elif isinstance(device, (list, tuple)):
            devices = devices_of("device", map(name_of, device))
        else:
            devices = [] if device is None else [name_of(device)]
        for one in devices:
            self._check_device(one)

    # They are a list of modules there, which is called with tokens.

    def __getitem__(self, module: Any) -> NoReturn:
        """Raise UnsupportedFeatureError: modules are not shown."""
        raise UnsupportedFeatureError(f"{type(self).__name__}[{module!r}]: {NO_MODULE}")

    def __iter__(self) -> NoReturn:
        """Raise UnsupportedFeatureError: modules are not shown."""
        raise UnsupportedFeatureError(f"iter({type(self).__name__}): {NO_MODULE}")

    def __len__(self) -> NoReturn:
        """Raise UnsupportedFeatureError: modules are not shown."""
        raise UnsupportedFeatureError(f"len({type(self).__name__}): {NO_MODULE}")

    def __bool__(self) -> bool:
        """Return True, as of any object; `__len__` has no answer."""
        return True

    def __call__(self, *_: Any, **__: Any) -> NoReturn:
        """Raise UnsupportedFeatureError: a model takes texts, and no tokens."""
        raise UnsupportedFeatureError(f"{type(self).__name__}(...): {NO_MODULE}; it takes texts, by its methods")

    def __getattr__(self, name: str) -> Any:
        """Say why a member of sentence-transformers' models is missing."""
        refuse_member(type(self).__name__, name)


def with_pairs(inputs: Any) -> Any:
    """Return the rows of an array `(n, 2)` as lists, which are pairs, and other inputs as they are."""
    return inputs.tolist() if isinstance(inputs, np.ndarray) and inputs.ndim == 2 else inputs


def _after(prompt: str, text: str | tuple[str, str]) -> str | tuple[str, str]:
    """Return a text, or a pair, after a prompt."""
    return prompt + text if isinstance(text, str) else (prompt + text[0], text[1])


def task_of(options: dict[str, Any]) -> Role | None:
    """Take `task` out of a call's further options, and what asks for nothing."""
    task: Role | None = options.pop("task", None)
    _arguments.one_of("task", task, (None, "query", "document"))
    if options.pop("processing_kwargs", None):
        raise InvalidArgumentError("processing_kwargs: rushlight tokenizes as the model's folder says")
    return task
