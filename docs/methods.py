"""Extension of griffe that shows functions assigned in a class as its methods."""

from __future__ import annotations

from copy import copy
from typing import Any

import griffe


class Methods(griffe.Extension):
    """Replace attributes like ``chunk = _chunking.chunk`` in a class by the functions that they name."""

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        """Replace the attributes of all classes in a loaded package."""
        for module in pkg.modules.values():
            for owner in module.classes.values():
                if not owner.is_alias:
                    self._replace(pkg, owner)

    @staticmethod
    def _replace(pkg: griffe.Module, owner: griffe.Class) -> None:
        for name, attribute in list(owner.members.items()):
            value = getattr(attribute, "value", None) if attribute.is_attribute else None
            if not isinstance(value, griffe.ExprAttribute):
                continue
            module, _, function = value.canonical_path.removeprefix(f"{pkg.path}.").partition(".")
            found = pkg.members[module].members.get(function) if module in pkg.members else None
            if found is not None and found.is_function:
                method = copy(found)
                method.parent = owner
                owner.set_member(name, method)
