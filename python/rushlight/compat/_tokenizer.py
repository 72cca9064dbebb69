"""Tokenizer of any kind of model, called like that of transformers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from rushlight import _arguments, _tokenizer
from rushlight.compat._refused import refuse_of_tokenizer, refuse_setting
from rushlight.compat._tensors import tensor, torch
from rushlight.compat._tokens import Tokens
from rushlight.exceptions import (
    InvalidArgumentError,
    InvalidInputError,
    MissingDependencyError,
    UnsupportedFeatureError,
)

if TYPE_CHECKING:
    from rushlight.compat._upstream import Upstream

_PADDING = {
    True: "longest",
    False: None,
    None: None,
    "longest": "longest",
    "max_length": "max_length",
    "do_not_pad": None,
}
_PARTS = {f"{part}_token" for part in ("bos", "cls", "eos", "mask", "pad", "sep", "unk")}
_TRUNCATION = {True: True, False: False, "longest_first": True, "do_not_truncate": False}


class Tokenizer(_tokenizer.Tokenizer):
    """`rushlight.Tokenizer` with the common members of transformers' tokenizers; others raise the reason."""

    __slots__ = ("_model",)

    _model: Upstream[Any]
    is_fast = True

    def __init__(self, model: Upstream[Any]) -> None:
        super().__init__(model._engine)
        self._model = model

    @property
    def model_max_length(self) -> int:
        """Maximum number of tokens: the model's `max_seq_length`, or int(1e30) without a limit."""
        return self._core.max_seq_length or int(1e30)

    @property
    def model_input_names(self) -> list[str]:
        """Names of the model's inputs."""
        types = ["token_type_ids"] if self._current.has_token_type_ids else []
        return ["input_ids", *types, "attention_mask"]

    @property
    def padding_side(self) -> str:
        """Side of the padding: "left" or "right"."""
        return self._model._padding_side or ("left" if self._current.pad_left else "right")

    def num_special_tokens_to_add(self, pair: bool = False) -> int:
        """Return the number of special tokens that are added to a text or a pair."""
        return self._current.count([("", "") if pair else ""])[0]

    def __call__(
        self,
        text: Any,
        text_pair: Any = None,
        *,
        add_special_tokens: bool = True,
        padding: bool | str = False,
        truncation: bool | str | None = None,
        max_length: int | None = None,
        padding_side: str | None = None,
        return_tensors: str | None = None,
        return_token_type_ids: bool | None = None,
        return_attention_mask: bool | None = None,
        **kwargs: Any,
    ) -> Tokens:
        """Tokenize texts or pairs.

        Parameters
        ----------
        text, text_pair
            Text, or list of texts or pairs; and the second texts of pairs.
        add_special_tokens
            Add special tokens. False works for single texts without truncation.
        padding
            True or "longest"; "max_length"; False or "do_not_pad".
        truncation
            True or "longest_first"; False or "do_not_truncate". None truncates if `max_length` is given without
            padding.
        max_length
            Number of tokens to truncate or pad to; the default is `model_max_length`.
        padding_side
            "left" or "right"; overrides the tokenizer's own side.
        return_tensors
            "pt" for torch tensors, "np" for numpy arrays, None for lists.
        return_token_type_ids, return_attention_mask
            Return these arrays. None returns type ids if the model has them, and the attention mask.
        **kwargs
            Other arguments of transformers, which must be None or False.

        Returns
        -------
        Tokens
            `input_ids`, `token_type_ids`, `attention_mask`; lists of ints for a single text without `return_tensors`.

        Raises
        ------
        InvalidArgumentError
            An argument asks for something that rushlight does not do, or tensors need texts of equal length.
        MissingDependencyError
            Tensors need torch, which is not installed.
        """
        _refuse_further(kwargs)
        pad = _choice("padding", padding, _PADDING)
        if truncation is None:
            truncation = max_length is not None and pad is None
        cut = _choice("truncation", truncation, _TRUNCATION)
        if max_length is not None:
            _arguments.positive("max_length", max_length)
        _arguments.one_of("padding_side", padding_side, (None, "left", "right"))
        _arguments.one_of("return_tensors", return_tensors, (None, "pt", "np"))
        if return_tensors == "pt" and torch() is None:
            raise MissingDependencyError("return_tensors='pt': torch is not installed; 'np' gives arrays")
        limit = max_length or self._core.max_seq_length
        texts, single = _paired(text, text_pair)
        if add_special_tokens:
            rows = self._current.encode(texts, limit if cut else None)
        else:
            rows = [(self._plain(text, cut), None, 0) for text in texts]
        lengths = [len(ids) for ids, _, _ in rows]
        tokens = _tokenizer.padded(
            self._current,
            rows,
            width=limit or 0 if pad == "max_length" else 0,
            left=pad is not None and (padding_side or self.padding_side) == "left",
        )
        tokens.setdefault("token_type_ids", np.zeros_like(tokens["input_ids"]))
        if not (self._current.has_token_type_ids if return_token_type_ids is None else return_token_type_ids):
            del tokens["token_type_ids"]
        if return_attention_mask is False:
            del tokens["attention_mask"]
        if return_tensors is not None:
            if pad is None and len(set(lengths)) > 1:
                raise InvalidArgumentError("return_tensors: texts of several lengths need padding=True")
            return Tokens(tensor(tokens) if return_tensors == "pt" else tokens)
        lists = {name: values.tolist() for name, values in tokens.items()}
        if pad is None:
            lists = {name: [row[:n] for row, n in zip(each, lengths, strict=True)] for name, each in lists.items()}
        return Tokens({name: each[0] for name, each in lists.items()} if single else lists)

    def encode(self, text: str, text_pair: str | None = None, **options: Any) -> Any:
        """Return the `input_ids` of a text or pair; see a call for `**options`."""
        _arguments.text("text", text, InvalidInputError)
        return self(text, text_pair, **options)["input_ids"]

    def decode(self, token_ids: Any, skip_special_tokens: bool = False, **kwargs: Any) -> Any:  # type: ignore[override]
        """Return the text of token ids or of a single id, or a list of texts for a list of lists."""
        _refuse_further(kwargs, nothing=(None,))
        ids = token_ids.tolist() if hasattr(token_ids, "tolist") else token_ids
        if hasattr(ids, "__index__"):
            ids = [ids]
        if isinstance(ids, (list, tuple)) and ids and isinstance(ids[0], (list, tuple)):
            return [self.decode(each, skip_special_tokens) for each in ids]
        return super().decode(ids, skip_special_tokens=skip_special_tokens)

    def batch_decode(self, sequences: Any, skip_special_tokens: bool = False, **kwargs: Any) -> list[str]:
        """Return the text of each list of token ids."""
        return [self.decode(ids, skip_special_tokens, **kwargs) for ids in sequences]

    def tokenize(self, text: str) -> list[str]:
        """Return the tokens of a text without special tokens."""
        tokens: list[str] = self.convert_ids_to_tokens(self._plain(text, cut=False))
        return tokens

    def convert_ids_to_tokens(self, ids: Any, skip_special_tokens: bool = False) -> Any:
        """Return the token of an id, or the tokens of several; None for an unknown id."""
        _refuse_further({"skip_special_tokens": skip_special_tokens})
        if hasattr(ids, "__index__"):
            return self.convert_ids_to_tokens([ids])[0]
        tokenizer = self._current
        return [tokenizer.id_to_token(token_id) for token_id in _tokenizer.token_ids(ids)]

    def convert_tokens_to_ids(self, tokens: Any) -> Any:
        """Return the id of a token, or the ids of several; the id of `unk_token` for an unknown token."""
        if not isinstance(tokens, (str, list, tuple)):
            raise InvalidArgumentError(f"tokens: must be a str or a list of str, got {type(tokens).__name__}")
        if isinstance(tokens, str):
            token_id = self._current.token_to_id(tokens)
            return self.unk_token_id if token_id is None else token_id
        return [self.convert_tokens_to_ids(token) for token in tokens]

    @property
    def vocab(self) -> dict[str, int]:
        """All tokens with their ids: `get_vocab`."""
        return self.get_vocab()

    def get_vocab(self) -> dict[str, int]:
        """Return all tokens with their ids, including added tokens."""
        return self._current.vocab()

    def __len__(self) -> int:
        """Return the number of tokens, including added ones."""
        return len(self.get_vocab())

    def _plain(self, text: str | tuple[str, str], cut: bool) -> list[int]:
        """Return the token ids of a text without special tokens."""
        if cut or not isinstance(text, str):
            what = "a text that is cut" if cut else "a pair"
            raise InvalidArgumentError(f"add_special_tokens: {what} has special tokens")
        return self._current.encode_plain(_arguments.text("text", text, InvalidInputError))

    def __getattr__(self, name: str) -> Any:
        """Return a special token or its id, or None; raise the reason why another member is absent."""
        part = name.removesuffix("_id")
        if part not in _PARTS:
            refuse_of_tokenizer(name)
        token = dict(self._current.special_tokens()).get(part)
        return token if token is None or part == name else self._current.token_to_id(token)

    def __copy__(self) -> Tokenizer:
        """Return the tokenizer, which never changes."""
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Tokenizer:
        """Return the tokenizer, which never changes."""
        return self

    def __reduce__(self) -> NoReturn:
        """Raise `UnsupportedFeatureError`: a model is pickled with its tokenizer."""
        raise UnsupportedFeatureError("Tokenizer: it cannot be pickled; pickle the model instead")

    def __setattr__(self, name: str, value: Any) -> None:
        """Set the padding side or the maximum length of the model; refuse to set other public attributes."""
        if name == "padding_side":
            _arguments.one_of(name, value, ("left", "right"))
            self._model._padding_side = value
        elif name == "model_max_length":
            self._model._set_limit(_arguments.positive(name, value))
        elif not name.startswith("_"):
            refuse_setting(name)
        else:
            super().__setattr__(name, value)


def _paired(text: Any, pair: Any) -> tuple[list[str | tuple[str, str]], bool]:
    """Return texts or pairs as a list, and True if they were a single one."""
    texts, single = _arguments.texts(text, "text")
    if pair is None:
        return texts, single
    pairs, _ = _arguments.texts(pair, "text_pair")
    if len(pairs) != len(texts):
        raise InvalidArgumentError(f"text_pair: must be one for each of {len(texts)} texts, got {len(pairs)}")
    return list(zip(texts, pairs, strict=True)), single


def _choice(name: str, value: Any, known: dict[Any, Any]) -> Any:
    if not isinstance(value, str | bool | None) or value not in known:
        raise InvalidArgumentError(f"{name}: must be one of {', '.join(map(repr, known))}, got {value!r}")
    return known[value]


def _refuse_further(options: dict[str, Any], nothing: tuple[Any, ...] = (None, False, 0)) -> None:
    """Refuse further arguments of transformers, unless they ask for nothing."""
    for name, value in options.items():
        if not any(value is each for each in nothing) and name != "verbose":
            raise InvalidArgumentError(f"{name}: rushlight's tokenizer doesn't take it, got {value!r}")
