"""Functions of `sentence_transformers.util` that work on embeddings, with the same names and positional arguments.

Inputs are dense or sparse tensors, arrays, lists, or columns of tables. Results that are tensors there are tensors here
if torch is installed, and arrays if not.

Examples
--------
>>> from rushlight.compat import util
>>> util.semantic_search([[1.0, 0.0]], [[0.0, 1.0], [2.0, 0.0]], top_k=1)
[[{'corpus_id': 1, 'score': 1.0}]]
"""

from rushlight.compat.util import environment, file_io, logging, misc, quantization, retrieval, similarity, tensor
from rushlight.compat.util.environment import *  # noqa: F403
from rushlight.compat.util.file_io import *  # noqa: F403
from rushlight.compat.util.logging import *  # noqa: F403
from rushlight.compat.util.misc import *  # noqa: F403
from rushlight.compat.util.quantization import *  # noqa: F403
from rushlight.compat.util.retrieval import *  # noqa: F403
from rushlight.compat.util.similarity import *  # noqa: F403
from rushlight.compat.util.tensor import *  # noqa: F403

__all__ = []
__all__ += environment.__all__
__all__ += file_io.__all__
__all__ += logging.__all__
__all__ += misc.__all__
__all__ += quantization.__all__
__all__ += retrieval.__all__
__all__ += similarity.__all__
__all__ += tensor.__all__
