"""Names, arguments and refusals of `rushlight.compat` on the page *From sentence-transformers*."""

from __future__ import annotations

import importlib.util
import inspect
import pkgutil
import re
import sys
from pathlib import Path

import pytest

import rushlight
from rushlight import Model, MultiVectorModel, Reranker, SparseModel, compat
from rushlight.compat import _loading, _refusals, _refused, util
from rushlight.compat._compared import Compared
from rushlight.compat._tokenizer import Tokenizer
from rushlight.compat._upstream import Upstream

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "pages/from-sentence-transformers.md").read_text(encoding="utf-8")
SECTIONS = dict(section.split("\n", 1) for section in re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:])
# Packages with a module for each class or two, which the page does not list.
ONE_CLASS = {"evaluation", "models", "modules"}
KINDS = {
    compat.SentenceTransformer: Model,
    compat.CrossEncoder: Reranker,
    compat.SparseEncoder: SparseModel,
    compat.MultiVectorEncoder: MultiVectorModel,
}


def named(*sections: str) -> set[str]:
    """Return the names in backticks in sections."""
    text = "\n".join(SECTIONS[name] for name in sections or SECTIONS)
    return set(re.findall(r"\w+", " ".join(re.findall(r"`([^`]*)`", text))))


def cells(section: str) -> list[str]:
    """Return the texts in backticks in a section."""
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


def test_the_table_has_every_refusal_with_its_reason() -> None:
    rows = _refusals.table().splitlines()
    for reasons in (_refused.MEMBERS, _refused.NAMES, _refused.TOKENIZER_MEMBERS):
        for name in public(reasons):
            assert any(f"`{name}`" in row and row.endswith(f"| {reasons[name]} |") for row in rows)


def test_the_site_shows_the_table_of_refusals() -> None:
    pytest.importorskip("mkdocs")
    pytest.importorskip("griffe")
    spec = importlib.util.spec_from_file_location("hooks", DOCS / "hooks.py")
    hooks = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hooks)
    assert PAGE.count(hooks.REFUSALS) == 1
    assert hooks.on_page_markdown(PAGE) == PAGE.replace(hooks.REFUSALS, _refusals.table())


def test_modules_are_on_the_page() -> None:
    modules = {module.name for module in pkgutil.walk_packages(compat.__path__, "rushlight.compat.")}
    aliases = {name for name in sys.modules if name.startswith("rushlight.compat.")}
    paths = {path for path in modules | aliases if "._" not in path and not set(path.split(".")[2:-1]) & ONE_CLASS}
    assert {path.removeprefix("rushlight.compat.") for path in paths} - set(cells("Modules")) == set()


def test_refused_members_are_no_members() -> None:
    for kind in KINDS:
        # mteb reads the transformer of a reranker.
        own = {"config", "model"} if kind is compat.CrossEncoder else set()
        assert public(_refused.MEMBERS) & public(vars(kind)) == own
