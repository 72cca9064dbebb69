"""Components for Haystack: embedders of texts and documents, dense and sparse, and a ranker.

Haystack loads a saved pipeline's classes from modules that it trusts. Importing this module adds it to them; a program
that loads pipelines without importing it passes `allowed_modules=["rushlight.integrations.haystack"]`.
"""

# Haystack reads the types of `run` from its annotations, so they are not postponed. Its decorator makes each class
# again, so that their methods can't use `super()`.

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from rushlight import Model, Reranker, SparseModel
from rushlight._asynchronous import on_a_thread
from rushlight.exceptions import InvalidArgumentError
from rushlight.integrations._handle import Handle, sparse_rows
from rushlight.integrations._requires import requires

with requires("haystack"):
    from haystack import Document, component, default_from_dict, default_to_dict
    from haystack.core.serialization_security import allow_deserialization_module
    from haystack.dataclasses import SparseEmbedding
    from haystack.utils import Secret

__all__ = [
    "RushlightDocumentEmbedder",
    "RushlightRanker",
    "RushlightSparseDocumentEmbedder",
    "RushlightSparseTextEmbedder",
    "RushlightTextEmbedder",
]

allow_deserialization_module(__name__)


class _Component:
    """Base of all components: loading and saving."""

    _kind: type[Any] = Model

    def __init__(self, model: str, token: Secret | None, settings: dict[str, Any], options: dict[str, Any]) -> None:
        if token is not None and not isinstance(token, Secret):
            raise InvalidArgumentError(f"token: must be a haystack.utils.Secret, got {type(token).__name__}")
        self._token = token
        self._settings = settings
        resolved = None if token is None else token.resolve_value()
        self._handle: Handle[Any] = Handle(self._kind, str(model), {**options, "token": resolved})

    def warm_up(self) -> None:
        """Load the model, once a process."""
        _ = self._handle.model

    async def warm_up_async(self) -> None:
        """Load the model on another thread."""
        await on_a_thread(self.warm_up)

    def to_dict(self) -> dict[str, Any]:
        """Return the settings; a token is saved as the name of its environment variable."""
        token = None if self._token is None else self._token.to_dict()
        saved: dict[str, Any] = default_to_dict(
            self, model=self._handle.name, token=token, **self._settings, **self._handle.settings()
        )
        return saved

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Any:
        """Return a component with saved settings."""
        parameters = data["init_parameters"]
        if isinstance(parameters.get("token"), dict):
            parameters = {**parameters, "token": Secret.from_dict(parameters["token"])}
        return default_from_dict(cls, {**data, "init_parameters": parameters})

    @property
    def _meta(self) -> dict[str, Any]:
        return {"model": self._handle.name}


class _TextEmbedder(_Component):
    def __init__(self, model: str, token: Secret | None, prefix: str, suffix: str, options: dict[str, Any]) -> None:
        super().__init__(model, token, {"prefix": prefix, "suffix": suffix}, options)

    def _whole(self, text: Any) -> str:
        if not isinstance(text, str):
            raise TypeError(f"text: must be a str, got {type(text).__name__}; for documents use a document embedder")
        return f"{self._settings['prefix']}{text}{self._settings['suffix']}"


class _DocumentEmbedder(_Component):
    def _embedded(self, documents: list[Document], field: str, convert: Callable[[Any], list[Any]]) -> dict[str, Any]:
        """Return copies of documents with their embeddings in a field."""
        settings = self._settings
        texts = [
            f"{settings['prefix']}{_joined(document, settings)}{settings['suffix']}" for document in _checked(documents)
        ]
        shown = {"show_progress_bar": settings["progress_bar"]}
        values = convert(self._handle.encode(texts, "document", **shown)) if texts else []
        copies = [replace(document, **{field: value}) for document, value in zip(documents, values, strict=True)]
        return {"documents": copies, "meta": self._meta}


@component
class RushlightTextEmbedder(_TextEmbedder):
    """Embeds a query as a list of numbers.

    Parameters
    ----------
    model
        Name or folder of a model, which is loaded by `warm_up` or the first `run`.
    prefix, suffix
        Texts to put before and after the query, beside the model's own prompt.
    token
        Access token for private models, a `Secret`.
    **options
        Arguments of `rushlight.Model`, and `normalize_embeddings`, `truncate_dim` and `truncation` of `encode`.
    """

    def __init__(
        self, model: str, *, prefix: str = "", suffix: str = "", token: Secret | None = None, **options: Any
    ) -> None:
        _TextEmbedder.__init__(self, model, token, prefix, suffix, options)

    @component.output_types(embedding=list[float], meta=dict[str, Any])
    def run(self, text: str) -> dict[str, Any]:
        """Embed a query."""
        return {"embedding": self._handle.lists(self._whole(text), "query"), "meta": self._meta}

    @component.output_types(embedding=list[float], meta=dict[str, Any])
    async def run_async(self, text: str) -> dict[str, Any]:
        """Embed a query on another thread."""
        result: dict[str, Any] = await on_a_thread(self.run, text)
        return result


@component
class RushlightDocumentEmbedder(_DocumentEmbedder):
    """Embeds documents: returns copies with `embedding`.

    Parameters
    ----------
    model
        Name or folder of a model, which is loaded by `warm_up` or the first `run`.
    prefix, suffix
        Texts to put before and after each document, beside the model's own prompt.
    meta_fields_to_embed, embedding_separator
        Fields of `meta` to put before the content, and the text between them.
    progress_bar
        Show a progress bar.
    token
        Access token for private models, a `Secret`.
    **options
        Arguments of `rushlight.Model`, and `normalize_embeddings`, `truncate_dim` and `truncation` of `encode`.
    """

    def __init__(
        self,
        model: str,
        *,
        prefix: str = "",
        suffix: str = "",
        meta_fields_to_embed: list[str] | None = None,
        embedding_separator: str = "\n",
        progress_bar: bool = True,
        token: Secret | None = None,
        **options: Any,
    ) -> None:
        settings = _settings(prefix, suffix, meta_fields_to_embed, embedding_separator, progress_bar)
        _Component.__init__(self, model, token, settings, options)

    @component.output_types(documents=list[Document], meta=dict[str, Any])
    def run(self, documents: list[Document]) -> dict[str, Any]:
        """Embed documents."""
        return self._embedded(documents, "embedding", lambda rows: list(rows.tolist()))

    @component.output_types(documents=list[Document], meta=dict[str, Any])
    async def run_async(self, documents: list[Document]) -> dict[str, Any]:
        """Embed documents on another thread; cancelling stops it."""
        result: dict[str, Any] = await on_a_thread(self.run, documents)
        return result


@component
class RushlightSparseTextEmbedder(_TextEmbedder):
    """Embeds a query as a `SparseEmbedding`; see `RushlightTextEmbedder` and `rushlight.SparseModel`."""

    _kind = SparseModel

    def __init__(
        self, model: str, *, prefix: str = "", suffix: str = "", token: Secret | None = None, **options: Any
    ) -> None:
        _TextEmbedder.__init__(self, model, token, prefix, suffix, options)

    @component.output_types(sparse_embedding=SparseEmbedding, meta=dict[str, Any])
    def run(self, text: str) -> dict[str, Any]:
        """Embed a query."""
        (embedding,) = _sparse(self._handle.encode([self._whole(text)], "query"))
        return {"sparse_embedding": embedding, "meta": self._meta}

    @component.output_types(sparse_embedding=SparseEmbedding, meta=dict[str, Any])
    async def run_async(self, text: str) -> dict[str, Any]:
        """Embed a query on another thread."""
        result: dict[str, Any] = await on_a_thread(self.run, text)
        return result


@component
class RushlightSparseDocumentEmbedder(_DocumentEmbedder):
    """Embeds documents: copies with `sparse_embedding`; see `RushlightDocumentEmbedder` and `rushlight.SparseModel`."""

    _kind = SparseModel

    def __init__(
        self,
        model: str,
        *,
        prefix: str = "",
        suffix: str = "",
        meta_fields_to_embed: list[str] | None = None,
        embedding_separator: str = "\n",
        progress_bar: bool = True,
        token: Secret | None = None,
        **options: Any,
    ) -> None:
        settings = _settings(prefix, suffix, meta_fields_to_embed, embedding_separator, progress_bar)
        _Component.__init__(self, model, token, settings, options)

    @component.output_types(documents=list[Document], meta=dict[str, Any])
    def run(self, documents: list[Document]) -> dict[str, Any]:
        """Embed documents."""
        return self._embedded(documents, "sparse_embedding", _sparse)

    @component.output_types(documents=list[Document], meta=dict[str, Any])
    async def run_async(self, documents: list[Document]) -> dict[str, Any]:
        """Embed documents on another thread; cancelling stops it."""
        result: dict[str, Any] = await on_a_thread(self.run, documents)
        return result


@component
class RushlightRanker(_Component):
    """Sorts documents by their scores for a query.

    Parameters
    ----------
    model
        Name or folder of a reranker, which is loaded by `warm_up` or the first `run`.
    top_k
        Maximum number of documents to return; None returns all.
    score_threshold
        Minimum score of a document; None keeps all.
    meta_fields_to_embed, embedding_separator
        Fields of `meta` to put before the content, and the text between them.
    token
        Access token for private models, a `Secret`.
    **options
        Arguments of `rushlight.Reranker`, and `truncation` of `predict`.
    """

    _kind = Reranker

    def __init__(
        self,
        model: str,
        *,
        top_k: int | None = 10,
        score_threshold: float | None = None,
        meta_fields_to_embed: list[str] | None = None,
        embedding_separator: str = "\n",
        token: Secret | None = None,
        **options: Any,
    ) -> None:
        settings = {
            "top_k": top_k,
            "score_threshold": score_threshold,
            "meta_fields_to_embed": meta_fields_to_embed or [],
            "embedding_separator": embedding_separator,
        }
        _Component.__init__(self, model, token, settings, options)

    @component.output_types(documents=list[Document])
    def run(self, query: str, documents: list[Document], top_k: int | None = None) -> dict[str, Any]:
        """Return copies of the most relevant documents with their scores, best first."""
        texts = [_joined(document, self._settings) for document in _checked(documents)]
        ranked = self._handle.ranked(query, texts, self._settings["top_k"] if top_k is None else top_k)
        least = self._settings["score_threshold"]
        kept = [(i, score) for i, score in ranked if least is None or score >= least]
        return {"documents": [replace(documents[i], score=score) for i, score in kept]}

    @component.output_types(documents=list[Document])
    async def run_async(self, query: str, documents: list[Document], top_k: int | None = None) -> dict[str, Any]:
        """Do the same on another thread; cancelling stops it."""
        result: dict[str, Any] = await on_a_thread(self.run, query, documents, top_k)
        return result


def _settings(
    prefix: str, suffix: str, meta_fields_to_embed: list[str] | None, embedding_separator: str, progress_bar: bool
) -> dict[str, Any]:
    """Return the settings of a document embedder."""
    return {
        "prefix": prefix,
        "suffix": suffix,
        "meta_fields_to_embed": meta_fields_to_embed or [],
        "embedding_separator": embedding_separator,
        "progress_bar": progress_bar,
    }


def _checked(documents: Any) -> list[Document]:
    if not isinstance(documents, list) or not all(isinstance(document, Document) for document in documents):
        raise TypeError("documents: must be a list of Document; for a text use a text embedder")
    return documents


def _joined(document: Document, settings: dict[str, Any]) -> str:
    """Return the fields of a document to embed, joined."""
    meta = [document.meta.get(name) for name in settings["meta_fields_to_embed"]]
    parts = [str(value) for value in meta if value is not None]
    separator: str = settings["embedding_separator"]
    return separator.join([*parts, document.content or ""])


def _sparse(embeddings: Any) -> list[SparseEmbedding]:
    return [SparseEmbedding(indices=indices, values=values) for indices, values in sparse_rows(embeddings)]
