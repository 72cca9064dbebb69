"""Models that are put together of a transformer and modules of choice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rushlight import _arguments, _core, _source
from rushlight._chunking import Chunking

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable

    from typing_extensions import Self


class Assembling(Chunking):
    """How a model of sentence embeddings is made of parts."""

    # What it was put together of, where it isn't as its folder says.
    _assembly: _core._Assembly | None = None

    @classmethod
    def from_backbone(
        cls,
        path: str | os.PathLike[str],
        *,
        pooling: str | Iterable[str] = "mean",
        dense: str | os.PathLike[str] | Iterable[str | os.PathLike[str]] | None = None,
        normalize: bool = False,
        max_seq_length: int | None = None,
        num_hidden_layers: int | None = None,
    ) -> Self:
        """Put a model together: a transformer, pooling, and what follows.

        What the folder says of pooling, prompts and similarity counts for nothing, so this is also the way to ask for
        another pooling than a model was trained with. `save_pretrained` makes a folder of it that sentence-transformers
        loads, too.

        Parameters
        ----------
        path
            The transformer: a folder or a name, as `Model` takes it. Of a sentence-transformers folder it is the first
            module.
        pooling
            How token embeddings become one vector: "cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean" or
            "lasttoken"; or several of them, whose vectors lie one after the other.
        dense
            Folders of trained Dense modules, such as "2_Dense" of another model: `config.json` and weights.
        normalize
            Whether embeddings are divided by their L2 norm.
        max_seq_length
            How many tokens of every text to keep, special tokens included: 1 to the model's real limit.
        num_hidden_layers
            How many of the transformer's layers to keep, the first ones, for models that were trained for it.

        Raises
        ------
        InvalidArgumentError
            Where an argument is out of range or unknown; else as `Model` does.

        Examples
        --------
        >>> from rushlight import Model
        >>> model = Model.from_backbone("all-MiniLM-L6-v2", pooling="cls", num_hidden_layers=3)
        >>> model.encode("The weather is lovely today.").shape
        (384,)
        """
        if max_seq_length is not None:
            max_seq_length = _arguments.positive("max_seq_length", max_seq_length)
        assembly: _core._Assembly = {
            "pooling": [_arguments.text("pooling", mode) for mode in _arguments.several("pooling", pooling)],
            "dense": [_arguments.path("dense", folder).absolute() for folder in _arguments.several("dense", dense)],
            "normalize": bool(normalize),
            "num_hidden_layers": None
            if num_hidden_layers is None
            else _arguments.positive("num_hidden_layers", num_hidden_layers),
        }
        folder = _source.find(
            path, cls._organization, cache_folder=None, revision=None, local_files_only=False, token=None
        )
        model = cls.__new__(cls)
        model._assembly = assembly
        model._take(_core.Model(folder, model._place, max_seq_length, {}, None, assembly))
        return model

    def _origin(self) -> tuple[Any, ...]:
        return *super()._origin(), self._assembly
