"""The members of `rushlight.compat`'s models beside those of sentence-transformers, where that is installed."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re

import pytest

from rushlight import compat
from rushlight.exceptions import UnsupportedFeatureError

theirs = pytest.importorskip("sentence_transformers")

KINDS = ["SentenceTransformer", "CrossEncoder", "SparseEncoder", "MultiVectorEncoder"]
# Differences of arguments, with reasons.
DIFFERENT = {
    "to": "torch's takes anything; ours names what it takes",
    "save": "rushlight writes no model cards, so create_model_card is False",
    "save_pretrained": "as save",
}
# Settings that compat lacks, with reasons.
FIXED = {"tokenizer": "rushlight's tokenizers are its own"}


def members(kind: str) -> list[str]:
    """Return the names that sentence-transformers adds to torch's modules, or documents anew."""
    return sorted(
        name
        for base in getattr(theirs, kind).__mro__
        if base.__module__.startswith("sentence_transformers")
        for name, member in vars(base).items()
        if not name.startswith("_") and (callable(member) or isinstance(member, (property, staticmethod, classmethod)))
    )


def arguments(owner: type, name: str) -> list[tuple[str, object, object]]:
    parameters = inspect.signature(getattr(owner, name)).parameters.values()
    # Keyword-only parameters have no order.
    ordered = sorted(parameters, key=lambda p: (p.kind, p.name if p.kind is p.KEYWORD_ONLY else ""))
    return [(p.name, p.kind, p.default) for p in ordered]


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind in KINDS for name in members(kind)])
def test_each_member_is_there_with_the_same_arguments_or_refused(kind, name):
    ours, other = getattr(compat, kind), getattr(theirs, kind)
    if not hasattr(ours, name):
        with pytest.raises(UnsupportedFeatureError, match=rf"^{kind}\.{name}: "):
            getattr(ours.__new__(ours), name)
        return
    member = inspect.getattr_static(other, name)
    assert isinstance(inspect.getattr_static(ours, name), property) == isinstance(member, property)
    if isinstance(member, property):
        settable = inspect.getattr_static(ours, name).fset is not None
        assert settable or member.fset is None or name in FIXED
    elif name not in DIFFERENT:
        assert arguments(ours, name) == arguments(other, name)


@pytest.mark.parametrize("kind", KINDS)
def test_constructors_take_the_same_arguments(kind):
    assert arguments(getattr(compat, kind), "__init__") == arguments(getattr(theirs, kind), "__init__")


def test_each_name_of_the_package_is_there_or_refused():
    for name in theirs.__all__:
        if name not in compat.__all__:
            with pytest.raises(UnsupportedFeatureError, match=re.escape(f"rushlight.compat.{name}: ")):
                getattr(compat, name)
    for name in ("__version__", "__MODEL_HUB_ORGANIZATION__"):
        assert getattr(compat, name) == getattr(theirs, name)


def modules() -> dict[str, str]:
    """The paths of modules, older ones too, and where each is now."""
    deprecated = importlib.import_module("sentence_transformers.util.deprecated_import").DEPRECATED_MODULE_PATHS
    now = [module.name for module in pkgutil.walk_packages(theirs.__path__, "sentence_transformers.")]
    return {path.partition(".")[2]: module for path, module in [*zip(now, now, strict=True), *deprecated.items()]}


def there_or_refused(look) -> bool:
    """Return True if a name exists; others must be refused with a reason."""
    try:
        return bool(look())
    except UnsupportedFeatureError:
        return False


@pytest.mark.parametrize(("path", "module"), modules().items())
def test_each_module_is_there_with_all_of_its_names_or_refused(path, module):
    if there_or_refused(lambda: importlib.import_module(f"rushlight.compat.{path}")):
        other = importlib.import_module(module)
        defined = [name for name, value in vars(other).items() if getattr(value, "__module__", None) == module]
        for name in getattr(other, "__all__", [name for name in defined if not name.startswith("_")]):
            ours = importlib.import_module(f"rushlight.compat.{path}")
            there_or_refused(lambda: getattr(ours, name))  # noqa: B023 -- called at once
