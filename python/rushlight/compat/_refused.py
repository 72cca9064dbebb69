"""Errors for names of sentence-transformers that rushlight lacks."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, NoReturn

from rushlight.compat._refusals import REFUSALS
from rushlight.exceptions import UnsupportedFeatureError

if TYPE_CHECKING:
    from collections.abc import Callable

MEMBERS = {name: refusal.reason for refusal in REFUSALS for name in refusal.members.split()}
NAMES = {name: refusal.reason for refusal in REFUSALS for name in refusal.names.split()}
TOKENIZER_MEMBERS = {name: refusal.reason for refusal in REFUSALS for name in refusal.tokenizer.split()}


class AbsentMemberError(UnsupportedFeatureError, AttributeError):
    """Error that makes `hasattr` return False."""


class _AbsentNameError(UnsupportedFeatureError, ModuleNotFoundError):
    """Error that imports with a fallback catch."""


def refuse_member(kind: str, name: str) -> NoReturn:
    """Raise the reason why models of a kind have no such member."""
    _refuse_attribute(kind, MEMBERS, name)


def refuse_of_tokenizer(name: str) -> NoReturn:
    """Raise the reason why tokenizers have no such member."""
    _refuse_attribute("Tokenizer", TOKENIZER_MEMBERS, name)


def refuse_setting(name: str) -> NoReturn:
    """Raise an error for an attribute of a tokenizer that cannot be set."""
    raise AbsentMemberError(f"Tokenizer.{name}: it cannot be set; the model's folder defines it")


def _refuse_attribute(kind: str, reasons: dict[str, str], name: str) -> NoReturn:
    if name in reasons:
        raise AbsentMemberError(f"{kind}.{name}: {reasons[name]}")
    raise AttributeError(f"{kind!r} object has no attribute {name!r}")


def refusing(module: str) -> Callable[[str], NoReturn]:
    """Return a `__getattr__` for a module, which raises the reason why the module has no such name."""

    def refuse(name: str) -> NoReturn:
        _refuse(module, name)
        raise AttributeError(f"module {module!r} has no attribute {name!r}")

    return refuse


class RefusingFinder:
    """Finder of modules that raises the reason why a module of sentence-transformers is absent; the last one asked."""

    # Names that the package is imported by.
    packages: ClassVar[set[str]] = {"rushlight.compat"}

    @classmethod
    def find_spec(cls, fullname: str, *_: object) -> None:
        """Raise UnsupportedFeatureError for a module that is refused."""
        module, name = fullname.rpartition(".")[::2]
        if any(f"{module}.".startswith(f"{package}.") for package in cls.packages):
            _refuse(module, name)


def _refuse(module: str, name: str) -> None:
    if name in NAMES:
        # A ModuleNotFoundError: an import would replace an AttributeError by an ImportError without the reason.
        raise _AbsentNameError(f"{module}.{name}: {NAMES[name]}")
