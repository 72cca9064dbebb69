"""Modules of models, to look at and to put together; they don't compute by themselves."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from rushlight.compat._refusals import NO_MODULE
from rushlight.exceptions import InvalidArgumentError, UnsupportedFeatureError

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping

    from typing_extensions import Self

_FLAGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}


class Module:
    """Module of a saved model: its settings, and its place in the model.

    Parameters
    ----------
    *args, **kwargs
        Of most modules none: they need weights, so they come from a saved model.

    Raises
    ------
    UnsupportedFeatureError
        The module cannot be made without training.
    """

    _model: Any = None
    _config: Mapping[str, Any]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        _ = args, kwargs
        raise UnsupportedFeatureError(f"{type(self).__name__}: rushlight has it in saved models; save one, and load it")

    @classmethod
    def _of(cls, model: Any, config: Mapping[str, Any]) -> Self:
        """Return the module of a model that its folder describes."""
        module = cls.__new__(cls)
        module._model, module._config = model, config
        return module

    def get_config_dict(self) -> dict[str, Any]:
        """Return the settings in the module's file."""
        return dict(self._config)

    def __getattr__(self, name: str) -> Any:
        """Return a setting of the module's file; raise the reason why parts of torch's modules are absent."""
        if name.startswith("__") or name == "_config":
            raise AttributeError(name)
        if name in self._config:
            return self._config[name]
        raise _AbsentPartError(f"{type(self).__name__}.{name}: {NO_MODULE}")

    def __call__(self, *_: Any, **__: Any) -> NoReturn:
        """Raise `UnsupportedFeatureError`: a module computes within its model."""
        raise UnsupportedFeatureError(f"{type(self).__name__}(...): {NO_MODULE}")

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={value!r}" for name, value in self._config.items())
        return f"{type(self).__name__}({settings})"


class _AbsentPartError(UnsupportedFeatureError, AttributeError):
    """Error that makes `hasattr` return False."""


class InputModule(Module):
    """First module of a model."""


class Transformer(InputModule):
    """Transformer of a model.

    Parameters
    ----------
    model_name_or_path
        Folder or name of a transformer.
    max_seq_length
        Number of tokens to keep of a text.
    **kwargs
        Without effect: keywords for transformers' classes.
    """

    def __init__(
        self, model_name_or_path: str | os.PathLike[str], max_seq_length: int | None = None, **kwargs: Any
    ) -> None:
        _ = kwargs
        self._config = {"model_name_or_path": model_name_or_path, "max_seq_length": max_seq_length}

    @property
    def max_seq_length(self) -> int | None:
        """Number of tokens to keep of a text; it can be set."""
        tokens: int | None = self._config["max_seq_length"] if self._model is None else self._model.max_seq_length
        return tokens

    @max_seq_length.setter
    def max_seq_length(self, tokens: int) -> None:
        if self._model is None:
            self._config = {**self._config, "max_seq_length": tokens}
        else:
            self._model.max_seq_length = tokens

    @property
    def tokenizer(self) -> Any:
        """Tokenizer of the model."""
        return self._loaded().tokenizer

    def get_embedding_dimension(self) -> int:
        """Return the number of columns of a token embedding."""
        return int(self._loaded().encode("a", output_value="token_embeddings").shape[1])

    get_word_embedding_dimension = get_embedding_dimension

    def _loaded(self) -> Any:
        """Return the model, which is loaded if there is none."""
        if self._model is None:
            from rushlight.compat.sentence_transformer.model import SentenceTransformer

            limit = self._config["max_seq_length"]
            self._model = SentenceTransformer.from_backbone(self._config["model_name_or_path"], max_seq_length=limit)
        return self._model


class Pooling(Module):
    """Pooling of token embeddings.

    Parameters
    ----------
    embedding_dimension
        Number of columns of a token embedding; older name `word_embedding_dimension`.
    pooling_mode
        "cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken", or several.
    include_prompt
        Pool the tokens of a prompt, too.
    **kwargs
        Older flags, such as `pooling_mode_cls_token=True`.
    """

    POOLING_MODES = tuple(_FLAGS.values())

    def __init__(
        self,
        embedding_dimension: int | None = None,
        pooling_mode: str | Iterable[str] = "mean",
        include_prompt: bool = True,
        **kwargs: Any,
    ) -> None:
        dimension = kwargs.pop("word_embedding_dimension", embedding_dimension)
        unknown = [name for name in kwargs if name not in _FLAGS]
        if unknown:
            raise TypeError(f"Pooling() got an unexpected keyword argument {unknown[0]!r}")
        older = [name for name in kwargs if name in _FLAGS]
        if older:
            warnings.warn(f"{', '.join(older)}: pooling_mode replaces these flags", FutureWarning, stacklevel=2)
        modes = [mode for flag, mode in _FLAGS.items() if kwargs.get(flag)] or pooling_mode
        modes = [modes] if isinstance(modes, str) else list(modes)
        for mode in modes:
            if mode not in self.POOLING_MODES:
                raise InvalidArgumentError(f"pooling_mode: must be one of {self.POOLING_MODES}, got {mode!r}")
        one = modes[0] if len(modes) == 1 else tuple(modes)
        self._config = {"embedding_dimension": dimension, "pooling_mode": one, "include_prompt": include_prompt}

    @classmethod
    def _of(cls, model: Any, config: Mapping[str, Any]) -> Self:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # a saved model may have the older flags
            module = cls(**config)
        module._model = model
        return module

    @property
    def pooling_output_dimension(self) -> int:
        """Number of columns of an embedding."""
        modes = self._config["pooling_mode"]
        return int(self._config["embedding_dimension"]) * (1 if isinstance(modes, str) else len(modes))

    def get_embedding_dimension(self) -> int:
        """Return `pooling_output_dimension`."""
        return self.pooling_output_dimension

    get_sentence_embedding_dimension = get_embedding_dimension

    def get_pooling_mode_str(self) -> str:
        """Return the names of the modes, joined by "+"."""
        modes = self._config["pooling_mode"]
        return modes if isinstance(modes, str) else "+".join(modes)

    def __getattr__(self, name: str) -> Any:
        """Return an older flag, such as `pooling_mode_cls_token`."""
        if name in _FLAGS:
            return _FLAGS[name] in self.get_pooling_mode_str().split("+")
        return super().__getattr__(name)


class Normalize(Module):
    """Division of embeddings by their L2 norms."""

    def __init__(self) -> None:
        self._config = {}


class Dense(Module):
    """Linear layer with an activation; `Dense.load` takes a trained one from its folder."""

    @classmethod
    def load(cls, model_name_or_path: str | os.PathLike[str], subfolder: str = "", **kwargs: Any) -> Self:
        """Return the module in a folder with `config.json` and weights, such as "2_Dense" of a saved model."""
        _ = kwargs
        folder = Path(model_name_or_path) / subfolder
        module = cls._of(None, json.loads((folder / "config.json").read_text(encoding="utf-8")))
        module._folder = folder
        return module

    _folder: Path | None = None


def _named(name: str, base: type[Module] = Module) -> Any:
    """Return a class of modules that only saved models have."""
    return type(name, (base,), {"__module__": __name__, "__doc__": f"`{name}` of a saved model."})


Router = _named("Router", InputModule)
Asym = Router
BoW, CLIPModel, StaticEmbedding, SparseStaticEmbedding, WordEmbeddings = (
    _named(name, InputModule)
    for name in ("BoW", "CLIPModel", "StaticEmbedding", "SparseStaticEmbedding", "WordEmbeddings")
)
CNN = _named("CNN")
LSTM = _named("LSTM")
Dropout = _named("Dropout")
LayerNorm = _named("LayerNorm")
LogitScore = _named("LogitScore")
MultiVectorMask = _named("MultiVectorMask")
SparseAutoEncoder = _named("SparseAutoEncoder")
SpladePooling = _named("SpladePooling")
WeightedLayerPooling = _named("WeightedLayerPooling")
WordWeights = _named("WordWeights")
MLMTransformer = _named("MLMTransformer", Transformer)


# Modules after a transformer that no list names, by the `model_type` of the class.
_DEFAULTS: dict[str, tuple[type[Module], ...]] = {
    "SentenceTransformer": (Pooling,),
    "SparseEncoder": (SpladePooling,),
    "MultiVectorEncoder": (Dense, MultiVectorMask, Normalize),
}


def modules_of(model: Any, folder: Path, *, converted: bool) -> dict[str, Module]:
    """Return the modules of a model by name, as its folder lists them, or those of its kind without a list.

    A `converted` model has its kind's default modules, with the Dense ones that its folder lists.
    """
    path = folder / "modules.json"
    listed = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    if listed is not None and not converted:
        return {each["name"]: _module(model, folder / each["path"], each["type"]) for each in listed}
    dense = [each for each in listed or [] if each["type"].endswith(".Dense")]
    parts: list[Module] = [Transformer._of(model, {})]
    for cls in _defaults(model, folder):
        if cls is Dense and dense:
            parts += [_module(model, folder / each["path"], each["type"]) for each in dense]
        else:
            parts.append(cls._of(model, {}))
    return {str(i): part for i, part in enumerate(parts)}


def _defaults(model: Any, folder: Path) -> tuple[type[Module], ...]:
    if model.model_type != "CrossEncoder":
        return _DEFAULTS.get(model.model_type, ())
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    named = config.get("architectures") or [""]
    return (LogitScore,) if named[0].endswith("ForCausalLM") else ()


def modules_of_assembly(model: Any, assembly: Mapping[str, Any]) -> dict[str, Module]:
    """Return the modules of a model that was put together, by name."""
    parts: list[Module] = [Transformer._of(model, {}), Pooling(pooling_mode=assembly["pooling"])]
    parts += [Dense.load(each) for each in assembly["dense"]]
    parts += [Normalize()] if assembly["normalize"] else []
    return {str(i): part for i, part in enumerate(parts)}


def _module(model: Any, folder: Path, kind: str) -> Module:
    name = kind.rpartition(".")[2]
    known = globals().get(name)
    cls: type[Module] = known if isinstance(known, type) and issubclass(known, Module) else Module
    path = folder / "config.json"
    own = path.is_file() and not issubclass(cls, Transformer)  # a transformer's file is that of transformers
    return cls._of(model, json.loads(path.read_text(encoding="utf-8")) if own else {})


def assembled(modules: Iterable[Any]) -> dict[str, Any]:
    """Return the arguments of `Model.from_backbone` for a list of modules.

    Raises
    ------
    UnsupportedFeatureError
        The list is not a Transformer, a Pooling, trained Dense modules and maybe Normalize, in this order.
    """
    listed = list(modules.values() if isinstance(modules, dict) else modules)
    names = [type(module).__name__ for module in listed]
    if names[:2] == ["Transformer"]:
        names.insert(1, "Pooling")
        listed.insert(1, Pooling())
    dense = [module for module in listed[2:] if isinstance(module, Dense)]
    normalize = [module for module in listed[2:] if isinstance(module, Normalize)]
    in_order = names[:2] == ["Transformer", "Pooling"] and listed[2:] == dense + normalize[:1]
    if not in_order or not all(module._folder for module in dense):
        raise UnsupportedFeatureError(
            "modules: must be a Transformer, a Pooling, Dense modules by Dense.load, and at the end maybe Normalize; "
            f"got {', '.join(names)}"
        )
    transformer, pooling = listed[:2]
    mode = pooling.get_config_dict()["pooling_mode"]
    return {
        "path": transformer.get_config_dict()["model_name_or_path"],
        "max_seq_length": transformer.max_seq_length,
        "pooling": mode,
        "dense": [module._folder for module in dense],
        "normalize": bool(normalize),
    }
