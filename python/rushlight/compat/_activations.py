"""Names of activations that can be called, as the modules of torch that stand in their place there."""

from __future__ import annotations

from typing import Any

import numpy as np

from rushlight import _core
from rushlight.compat._tensors import is_tensor, torch
from rushlight.exceptions import MissingDependencyError


class ActivationName(str):
    """Name of a function of logits, which is also that function."""

    __slots__ = ()

    def __call__(self, logits: Any) -> Any:
        """Apply the function to a tensor or an array; a softmax is over the last axis.

        Raises
        ------
        MissingDependencyError
            torch, which has the function, is not installed.
        """
        if is_tensor(logits):
            return self._of_tensors(logits)
        array = np.asarray(logits, dtype=np.float32)
        if self == "identity":
            return array
        if self == "sigmoid":
            return 1 / (1 + np.exp(-array))
        if self == "softmax":
            return _core.softmax(array.reshape(-1, array.shape[-1])).reshape(array.shape)
        module = torch()
        if module is None:
            raise MissingDependencyError(f"{self}: of arrays it needs torch, which is not installed: pip install torch")
        return self._of_tensors(module.from_numpy(array)).numpy()

    def _of_tensors(self, logits: Any) -> Any:
        kinds = {name.lower(): kind for name, kind in vars(torch().nn).items() if isinstance(kind, type)}
        return kinds[str(self)](*([-1] if self == "softmax" else []))(logits)
