"""Registration of `rushlight.compat` under the name of the library that it stands in for."""

from __future__ import annotations

import sys

from rushlight.compat import _modules
from rushlight.exceptions import UnsupportedFeatureError

_NAME = "sentence_transformers"


def install() -> None:
    """Let `import sentence_transformers` give `rushlight.compat`, in this process.

    Call it before anything imports sentence-transformers, which need not be installed. Code that others wrote for
    sentence-transformers then computes with rushlight, as long as it does not train: names of training raise an error
    that gives the reason. A second call does nothing.

    Raises
    ------
    UnsupportedFeatureError
        sentence-transformers itself is imported already.

    Examples
    --------
    >>> import rushlight.compat
    >>> rushlight.compat.install()  # doctest: +SKIP
    >>> from sentence_transformers import SentenceTransformer  # doctest: +SKIP
    >>> SentenceTransformer  # doctest: +SKIP
    <class 'rushlight.compat._sentence_transformers.SentenceTransformer'>
    """
    package = str(__package__)
    ours, imported = sys.modules[package], sys.modules.get(_NAME)
    if imported not in (None, ours):
        where = getattr(imported, "__file__", None)
        raise UnsupportedFeatureError(
            f"{_NAME}: is imported already, from {where}; call rushlight.compat.install() before it is"
        )
    _modules.alias(package, _NAME)
