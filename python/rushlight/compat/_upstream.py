"""Members that the models of all kinds have in sentence-transformers."""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

import numpy as np

from rushlight import SparseEmbeddings, _arguments, _images, _source
from rushlight._loaded import Core, Loaded
from rushlight._pool import Pool, workers
from rushlight.compat._calls import called_like, processing
from rushlight.compat._conversions import refuse_conversion
from rushlight.compat._loading import check, device_and_dtype
from rushlight.compat._parts import assembled, modules_of, modules_of_assembly
from rushlight.compat._refusals import NO_MODULE
from rushlight.compat._refused import refuse_member
from rushlight.compat._sparse import as_tensor
from rushlight.compat._tensors import dtype_of, name_of, names_of, tensor, torch
from rushlight.compat._tokenizer import Tokenizer
from rushlight.compat._tokens import Tokens
from rushlight.exceptions import (
    DeviceError,
    InvalidArgumentError,
    UnsupportedFeatureError,
    UnsupportedModelError,
)

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Iterator

    from typing_extensions import Self

    from rushlight._loaded import Role
    from rushlight.compat._parts import Module

logger = logging.getLogger("rushlight")

# Methods that `encode` and `predict` call in sentence-transformers, but never in rushlight.
_HOOKS = "forward", "preprocess"


class NoCard:
    """Model card data that accepts the calls of evaluators, and stores nothing."""

    model_name = base_model = base_model_revision = None

    def set_evaluation_metrics(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing."""


class Upstream(Loaded[Core]):
    """Model with the constructor and members of sentence-transformers, for all kinds.

    Models are torch modules there. Calls that would change nothing, such as `.eval()`, `.to("cpu")` or `.float()`,
    return the model. Calls that would move or cast it raise `DeviceError`.
    """

    model_type: ClassVar[str]
    default_huggingface_organization: ClassVar[str | None]
    training = False
    _converts = True
    _padding_side: str | None = None
    model_card_data = NoCard()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Refuse a subclass that overrides a method that rushlight never calls."""
        super().__init_subclass__(**kwargs)
        for name in _HOOKS:
            if getattr(cls, name, None) is not getattr(Upstream, name, None):
                raise UnsupportedFeatureError(
                    f"{cls.__name__}.{name}: rushlight computes and never calls it; override encode or predict"
                )

    def __init__(
        self,
        model_name_or_path: str | os.PathLike[str] | None = None,
        *,
        modules: Any = None,
        device: Any = None,
        prompts: Mapping[str, str | None] | None = None,
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
        **own: Any,
    ) -> None:
        """Load a model of any kind; `own` are the arguments that only this kind has."""
        _ = trust_remote_code  # a permission that is never used
        processor_kwargs = dict(processor_kwargs or {})
        limit = _arguments.optional_positive("model_max_length", processor_kwargs.pop("model_max_length", None))
        check(model_card_data, backend)
        if modules is not None:
            self._assemble(modules, prompts, default_prompt_name)
            return
        # A prompt that is None is the one in the folder, or "" if the folder has none.
        prompts_of_folder = prompts if isinstance(prompts, Mapping) and None in prompts.values() else None
        given = prompts
        if prompts_of_folder is not None:
            given = {name: prompt for name, prompt in prompts_of_folder.items() if prompt is not None}
        super().__init__(
            model_name_or_path,
            **device_and_dtype(device, model_kwargs, processor_kwargs, config_kwargs),
            prompts=given,
            default_prompt_name=default_prompt_name if prompts_of_folder is None else None,
            cache_folder=cache_folder,
            revision=revision,
            local_files_only=local_files_only,
            token=token,
            **own,
        )  # type: ignore[call-arg]  # of rushlight's model, which comes next in the order of bases
        if prompts_of_folder is not None:
            self.prompts = {**dict.fromkeys(prompts_of_folder, ""), **self.prompts}
            if default_prompt_name is not None:
                self.default_prompt_name = default_prompt_name
        self._padding_side = processor_kwargs.get("padding_side")
        if limit is not None:
            self._set_limit(limit)

    def _load(self, name: str | os.PathLike[str], **options: Any) -> Path:
        try:
            folder = super()._load(name, **options)
        except UnsupportedModelError as error:
            where = {key: options[key] for key in ("cache_folder", "revision", "local_files_only", "token")}
            refuse_conversion(_source.find(name, self._organization, **where), self.model_type, error)
            raise
        if self._engine.converted_from is not None:
            logger.warning("Converting %s model %s to %s", self._engine.converted_from, folder, self.model_type)
        return folder

    def _assemble(self, modules: Any, prompts: Mapping[str, str | None] | None, default_name: str | None) -> None:
        """Put a model together of modules, which only SentenceTransformer can."""
        make: Any = getattr(type(self), "from_backbone", None)
        if make is None:
            raise UnsupportedFeatureError(f"{type(self).__name__}: modules make a SentenceTransformer alone")
        self.__dict__.update(make(**assembled(modules)).__dict__)
        if prompts is not None:
            self.prompts = prompts
        if default_name is not None:
            self.default_prompt_name = default_name

    def _set_limit(self, tokens: int) -> None:
        """Set the maximum number of tokens, or the largest that the model has positions for."""
        taken, refused = self._engine.max_seq_length or 0, tokens + 1
        tried = tokens
        while taken < tried:
            try:
                self._engine.max_seq_length = tried
                taken = tried
            except InvalidArgumentError:
                refused = tried
            tried = (taken + refused) // 2
        self._engine.max_seq_length = min(taken, tokens)

    @property
    def prompts(self) -> dict[str, str]:
        """Prompts by name; the dict can be changed in place. None is set as an empty prompt."""
        return self._prompts

    @prompts.setter
    def prompts(self, prompts: Mapping[str, str | None]) -> None:
        given = isinstance(prompts, Mapping)
        cleared = {name: "" if text is None else text for name, text in prompts.items()} if given else prompts
        Loaded.prompts.fset(self, cleared)  # type: ignore[attr-defined]  # a property

    def _limited(self, tokens: int) -> Self:
        """Return a copy for one call with this limit of tokens."""
        copied = copy.copy(self)
        copied._set_limit(tokens)
        return copied

    def _with_modality(self, result: Any, prompt: str) -> Any:
        """Add `modality` and, with a prompt, `prompt_length`: its tokens without the last special one."""
        added: dict[str, Any] = {"modality": "text"}
        if prompt:
            ids = self.tokenizer(prompt)["input_ids"]
            special = {token for _, token in self._engine.tokenizer(None).special_tokens()}
            last = self.tokenizer.convert_ids_to_tokens(ids[-1:])
            added["prompt_length"] = len(ids) - (last[0] in special)
        if isinstance(result, dict):
            return {**result, **added}
        return [{**one, **added} for one in result]

    def _as_given(self, embeddings: Any) -> Any:
        """Return embeddings of rushlight as this model gives them: tensors, if torch is installed."""
        if isinstance(embeddings, SparseEmbeddings):
            return as_tensor(embeddings, sparse=True, single=False)
        return tensor(embeddings)

    @property
    def device(self) -> Any:
        """Device of the model: a `torch.device` if torch is installed, else its name."""
        module = torch()
        return self._engine.device if module is None else module.device(self._engine.device)

    @property
    def dtype(self) -> Any:
        """Dtype of the computation: a `torch.dtype` if torch is installed, else its name."""
        module, name = torch(), super().dtype
        return name if module is None else getattr(module, name)

    def to(self, device: Any = None, dtype: Any = None, non_blocking: bool = False) -> Self:
        """Return the model, which must have that device and dtype; choose both when you load the model."""
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
        """Raise `DeviceError`: no model computes in float64."""
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
        """Return the model: threads share its weights, and processes map the same file."""
        return self

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing: the model is compiled code already."""

    def get_backend(self) -> str:
        """Return "rushlight"."""
        return "rushlight"

    @property
    def modalities(self) -> list[str]:
        """Kinds of inputs: "text", and "image" in models that embed both."""
        return ["text", "image"] if getattr(self._engine, "embeds_images", False) else ["text"]

    def supports(self, modality: Any) -> bool:
        """Return True for a kind of inputs in `modalities`."""
        return modality in self.modalities

    def get_model_kwargs(self) -> list[str]:
        """Return the additional arguments of the model's own code: none."""
        return []

    def get_max_seq_length(self) -> int | None:
        """Return `max_seq_length`; the older name."""
        return self._engine.max_seq_length

    def is_singular_input(self, inputs: Any) -> bool:
        """Return True for a single text, or a single image if the model embeds images."""
        return isinstance(inputs, (str, dict)) or ("image" in self.modalities and _images.is_single(inputs))

    def evaluate(self, evaluator: Callable[[Any, str | None], Any], output_path: str | None = None) -> Any:
        """Call an evaluator with the model and the folder `output_path`, which is created, and return its result."""
        if output_path is not None:
            Path(output_path).mkdir(parents=True, exist_ok=True)
        return evaluator(self, output_path)

    @property
    def tokenizer(self) -> Tokenizer:
        """Tokenizer, called like that of transformers; the one of documents if queries have another."""
        return Tokenizer(self)

    @processing
    def preprocess(
        self, inputs: str | Iterable[str | tuple[str, str]], prompt: str | None = None, **kwargs: Any
    ) -> Tokens:
        """Tokenize texts or pairs after a prompt, truncated and padded to the longest. A single text is one row.

        `**kwargs` is `task`, "query" or "document", for models that tokenize them differently.
        """
        task = task_of(kwargs)
        if kwargs:
            raise InvalidArgumentError(f"kwargs: known are 'prompt' and 'task', got {', '.join(map(repr, kwargs))}")
        texts = with_pairs(inputs)
        if isinstance(texts, str):
            texts = [texts]
        tokens = self._tokens(texts, None if task is None else task == "query", prompt or "")
        if self._padding_side is not None:
            mask = tokens["attention_mask"]
            order = np.argsort(mask if self._padding_side == "left" else -mask, axis=1, kind="stable")
            tokens = {name: np.take_along_axis(values, order, 1) for name, values in tokens.items()}
        return Tokens(tensor(tokens))

    def tokenize(self, texts: Iterable[str | tuple[str, str]], **kwargs: Any) -> Tokens:
        """Call `preprocess`; the older name, which is logged."""
        logger.warning("tokenize is deprecated; it is now called preprocess")
        return self.preprocess(texts, **kwargs)

    def save_pretrained(
        self,
        path: str | os.PathLike[str] | None,
        model_name: str | None = None,
        create_model_card: bool = False,
        train_datasets: list[str] | None = None,
        safe_serialization: bool = True,
    ) -> None:
        """Save the model as a folder that rushlight and sentence-transformers load, without a model card.

        For a model of published code (`auto_map`), sentence-transformers needs that code, and rushlight does not.
        `model_name`, the name on a card, has no effect. With `path=None` nothing is saved.

        Raises
        ------
        InvalidArgumentError
            The arguments ask for a model card, or for weights other than safetensors.
        """
        _ = model_name
        if path is None:
            return
        for argument, value in (("create_model_card", create_model_card), ("train_datasets", train_datasets)):
            if value:
                raise InvalidArgumentError(f"{argument}: rushlight writes no model cards")
        if not safe_serialization:
            raise InvalidArgumentError("safe_serialization: rushlight writes safetensors alone")
        super().save_pretrained(path)

    @called_like(save_pretrained)
    def save(self, **options: Any) -> None:
        """Call `save_pretrained`."""
        self.save_pretrained(**options)

    def start_multi_process_pool(self, target_devices: Iterable[Any] | None = None) -> Pool:
        """Return a pool with a thread for each device; all must be the model's own."""
        pool = Pool([self._engine.device] if target_devices is None else map(name_of, target_devices))
        for device in pool.devices():
            self._check_device(device)
        return pool

    @staticmethod
    def stop_multi_process_pool(pool: Pool) -> None:
        """Close a pool."""
        pool.close()

    def _check_workers(self, device: Any, pool: Pool | None, chunk_size: int | None) -> None:
        """Check that the workers of a call are on the model's own device, where all threads compute anyway."""
        named = names_of(device)
        found = workers(self._engine.device, named, pool, chunk_size)
        if pool is None and isinstance(named, str):
            self._check_device(named)  # whose message has the name as it was given
        for name in [] if found is None else found[0]:
            self._check_device(name)

    # In sentence-transformers a model is a list of modules, and is called with tokens.

    def _parts(self) -> dict[str, Module]:
        """Return the modules by name, as the model's folder lists them."""
        assembly = getattr(self, "_assembly", None)
        if assembly is not None:
            return modules_of_assembly(self, assembly)
        return modules_of(self, self._engine.folder, converted=self._engine.converted_from is not None)

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Yield the modules with their names."""
        return iter(self._parts().items())

    def _first_module(self) -> Module:
        """Return the first module."""
        return self[0]

    def _last_module(self) -> Module:
        """Return the last module."""
        return self[-1]

    def __getitem__(self, module: int) -> Module:
        """Return a module, with its settings; it doesn't compute by itself."""
        return list(self._parts().values())[module]

    def __iter__(self) -> Iterator[Module]:
        """Yield the modules."""
        return iter(self._parts().values())

    def __len__(self) -> int:
        """Return the number of modules."""
        return len(self._parts())

    def __bool__(self) -> bool:
        """Return True; without this method Python would call `__len__`."""
        return True

    def __call__(self, *_: Any, **__: Any) -> NoReturn:
        """Raise `UnsupportedFeatureError`: a model takes texts, not tokens."""
        raise UnsupportedFeatureError(f"{type(self).__name__}(...): {NO_MODULE}; it takes texts, by its methods")

    def __getattr__(self, name: str) -> Any:
        """Raise the reason why a member of sentence-transformers' models is absent."""
        refuse_member(type(self).__name__, name)


def with_pairs(inputs: Any) -> Any:
    """Return the rows of an array `(n, 2)` as pairs, `{"text": "a"}` as its text, and other inputs unchanged."""
    if isinstance(inputs, np.ndarray) and inputs.ndim == 2:
        return inputs.tolist()
    if isinstance(inputs, (list, tuple)) and any(isinstance(one, dict) for one in inputs):
        return [_text_of(one) for one in inputs]
    return _text_of(inputs)


def _text_of(one: Any) -> Any:
    return one["text"] if isinstance(one, dict) and list(one) == ["text"] else one


def task_of(options: dict[str, Any]) -> Role | None:
    """Remove `task` from a call's further options and return it."""
    return role_and_task_of(options, [])[0]


def role_and_task_of(options: dict[str, Any], tasks: list[str]) -> tuple[Role | None, str | None]:
    """Remove `task` like `task_of`. It is a role, or one of a model's own tasks."""
    roles: tuple[Role | None, ...] = (None, "query", "document")
    task: Any = options.pop("task", None)
    _arguments.one_of("task", task, (*roles, *tasks))
    return (task, None) if task in roles else (None, task)
