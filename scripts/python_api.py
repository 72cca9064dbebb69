"""Print the public interface of the Python package: a line for each name, from its sources.

Usage: ``python scripts/python_api.py``. A name is public if no part of its path begins with an underscore and, in a
module with ``__all__``, that lists it. Needs griffelib alone; nothing is imported.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import griffe

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
# The extension that shows functions assigned in a class as its methods.
METHODS = ROOT / "docs/methods.py"


def main() -> None:
    """Print the interface."""
    package = griffe.load(
        "rushlight",
        search_paths=[ROOT / "python"],
        extensions=griffe.load_extensions(str(METHODS)),
        resolve_aliases=True,
    )
    sys.stdout.writelines(f"{line}\n" for line in sorted(set(lines(package, "rushlight", {}))))


def lines(owner: griffe.Object | griffe.Alias, path: str, seen: dict[str, str]) -> Iterator[str]:
    """Yield the lines of an object's members, under the path by which callers reach them.

    Members of a class are listed once: `seen` has the public paths of those that were, by their paths in the sources.
    """
    for name, member in owner.all_members.items() if owner.is_class else owner.members.items():
        if not public(owner, name, member):
            continue
        inner = f"{path}.{name}"
        if unknown(member):
            yield inner
        elif inherited(member, seen):
            continue
        elif (first := seen.setdefault(member.canonical_path, inner)) != inner:
            yield f"{inner} = {first}"
        else:
            yield f"{inner}{description(member)}"
            if member.is_class or member.is_module:
                yield from lines(member, inner, seen)


def inherited(member: griffe.Object | griffe.Alias, seen: dict[str, str]) -> bool:
    """Tell whether a member is that of a base class that was listed."""
    return member.inherited and member.canonical_path in seen


def public(owner: griffe.Object | griffe.Alias, name: str, member: griffe.Object | griffe.Alias) -> bool:
    """Tell whether callers may use a member: what a module imports is its own only if ``__all__`` lists it."""
    if owner.is_class:
        return not name.startswith("_") or (name.startswith("__") and name.endswith("__"))
    if owner.exports is not None and name in owner.exports:
        return True
    return not name.startswith("_") and not member.is_alias and (owner.exports is None or member.is_module)


def unknown(member: griffe.Object | griffe.Alias) -> bool:
    """Tell whether the sources don't define what a name stands for: it is made when the package is imported."""
    try:
        return isinstance(member, griffe.Alias) and member.final_target is None
    except griffe.AliasResolutionError:
        return True


def description(member: griffe.Object | griffe.Alias) -> str:
    """Return the parameters and the result of a function, the bases of a class, the type of an attribute."""
    target = member.final_target if isinstance(member, griffe.Alias) else member
    if isinstance(target, griffe.Function):
        returns = f" -> {target.returns}" if target.returns is not None else ""
        return f"({', '.join(parameters(target))}){returns}"
    if isinstance(target, griffe.Class):
        return f" (class: {', '.join(str(base) for base in target.bases)})"
    if isinstance(target, griffe.Attribute):
        return f": {target.annotation}" if target.annotation is not None else ""
    return " (module)"


def parameters(function: griffe.Function) -> Iterator[str]:
    """Yield a function's parameters as its definition has them."""
    kinds = griffe.ParameterKind
    marked = False
    for parameter in function.parameters:
        if parameter.kind is kinds.keyword_only and not marked:
            yield "*"
        marked = marked or parameter.kind in {kinds.var_positional, kinds.keyword_only}
        star = {kinds.var_positional: "*", kinds.var_keyword: "**"}.get(parameter.kind, "")
        annotation = f": {parameter.annotation}" if parameter.annotation is not None else ""
        default = f" = {parameter.default}" if parameter.default is not None and not star else ""
        yield f"{star}{parameter.name}{annotation}{default}"


if __name__ == "__main__":
    main()
