"""The page *From sentence-transformers* names all that `rushlight.compat` has, takes and refuses."""

from __future__ import annotations

import inspect
import pkgutil
import re
import sys
from pathlib import Path

import pytest

import rushlight
from rushlight import Model, MultiVectorModel, Reranker, SparseModel, compat
from rushlight.compat import _loading, _refused, util
from rushlight.compat._compared import Compared
from rushlight.compat._tokenizer import Tokenizer
from rushlight.compat._upstream import Upstream

PAGE = Path(__file__).parents[2] / "docs/pages/from-sentence-transformers.md"
SECTIONS = dict(
    section.split("\n", 1) for section in re.split(r"^## ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
)
KINDS = {
    compat.SentenceTransformer: Model,
    compat.CrossEncoder: Reranker,
    compat.SparseEncoder: SparseModel,
    compat.MultiVectorEncoder: MultiVectorModel,
}


def named(*sections: str) -> set[str]:
    """What stands in backticks in sections, all of them without any."""
    text = "\n".join(SECTIONS[name] for name in sections or SECTIONS)
    return set(re.findall(r"\w+", " ".join(re.findall(r"`([^`]*)`", text))))


def cells(section: str) -> list[str]:
    """What stands in backticks in a section, each as it is."""
    return re.findall(r"`([^`]*)`", SECTIONS[section])


def public(names: object) -> set[str]:
    return {name for name in names if not name.startswith("_")}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_each_member_and_argument_is_on_the_page(kind: type) -> None:
    assert public(vars(kind)) - named(kind.__name__, "All models") == set()
    assert set(inspect.signature(kind).parameters) - named("Loading a model") == set()
    call = getattr(kind, "encode", None) or kind.predict
    assert set(inspect.signature(call).parameters) - {"self", "kwargs"} - named() == set()


def test_what_all_models_have_and_keywords_of_transformers_are_on_the_page() -> None:
    assert public(vars(Upstream)) - named("All models", "SentenceTransformer") == set()
    for kind in ("SentenceTransformer", "SparseEncoder", "MultiVectorEncoder"):
        assert public(vars(Compared)) - named(kind) == set()
    keywords = {name for taken in _loading._TAKEN.values() for name in taken}
    assert {"dtype", "torch_dtype", *keywords} - named("Loading a model") == set()


def test_what_tokenizers_have_is_on_the_page() -> None:
    taken = set(inspect.signature(Tokenizer.__call__).parameters) - {"self", "kwargs"}
    assert public([*vars(Tokenizer), *vars(rushlight.Tokenizer), *taken]) - named("tokenizer") == set()


def test_functions_are_on_the_page() -> None:
    assert set(util.__all__) - named("util") == set()
    assert set(compat.__all__) - named() == set()


def test_what_is_refused_is_on_the_page() -> None:
    internal = {name for name, reason in _refused._OF_PACKAGE.items() if reason == _refused._INTERNAL}
    assert public([*_refused._OF_MODELS, *_refused._OF_PACKAGE]) - internal - named() == set()
    assert set(_refused._OF_TOKENIZERS) - named("What is refused") == set()


def test_modules_are_on_the_page() -> None:
    modules = {module.name for module in pkgutil.walk_packages(compat.__path__, "rushlight.compat.")}
    aliases = {name for name in sys.modules if name.startswith("rushlight.compat.")}
    paths = {path for path in modules | aliases if "._" not in path}
    assert {path.removeprefix("rushlight.compat.") for path in paths} - set(cells("Modules")) == set()


def test_refused_members_are_no_members() -> None:
    for kind in KINDS:
        assert public(_refused._OF_MODELS) & public(vars(kind)) == set()
