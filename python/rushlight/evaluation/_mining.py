"""Evaluators that look for a counterpart of each text: paraphrases and translations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from rushlight import util
from rushlight.evaluation._base import Evaluator, same_length, suffix
from rushlight.evaluation._embeddings import nearest
from rushlight.evaluation._statistics import Statistic, mean
from rushlight.exceptions import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from rushlight.evaluation._base import Metrics


class ParaphraseMiningEvaluator(Evaluator):
    """Evaluator of mining: finds the most similar pairs of sentences, and compares them with the known duplicates.

    Parameters
    ----------
    sentences_map
        Sentences by id.
    duplicates_list
        Pairs of ids of duplicates.
    duplicates_dict
        The same as a dict of dicts of True.
    add_transitive_closure
        Take duplicates of duplicates for duplicates.
    query_chunk_size, corpus_chunk_size, max_pairs, top_k
        See `rushlight.util.paraphrase_mining`.
    show_progress_bar, batch_size
        See `Model.encode`.
    name
        Beginning of the metrics' names.
    write_csv
        Append a line to a CSV file in the folder that a call gets.
    truncate_dim
        Number of columns to keep of embeddings.
    """

    def __init__(
        self,
        sentences_map: Mapping[str, str],
        duplicates_list: Iterable[tuple[str, str]] | None = None,
        duplicates_dict: Mapping[str, Mapping[str, bool]] | None = None,
        add_transitive_closure: bool = False,
        query_chunk_size: int = 5000,
        corpus_chunk_size: int = 100_000,
        max_pairs: int = 500_000,
        top_k: int = 100,
        show_progress_bar: bool | None = False,
        batch_size: int = 16,
        name: str = "",
        write_csv: bool = True,
        truncate_dim: int | None = None,
    ) -> None:
        super().__init__(
            name=name,
            batch_size=batch_size,
            show_progress_bar=show_progress_bar,
            write_csv=write_csv,
            truncate_dim=truncate_dim,
        )
        if len(sentences_map) < 2:
            raise InvalidArgumentError(f"sentences_map: must have at least 2 sentences, got {len(sentences_map)}")
        self.ids, self.sentences = list(sentences_map), list(sentences_map.values())
        self.query_chunk_size, self.corpus_chunk_size = query_chunk_size, corpus_chunk_size
        self.max_pairs, self.top_k = max_pairs, top_k
        self._closed = add_transitive_closure
        self.duplicates = {a: dict(others) for a, others in (duplicates_dict or {}).items()}
        for a, b in duplicates_list or ():
            if a in sentences_map and b in sentences_map:
                self.duplicates.setdefault(a, {})[b] = True
                self.duplicates.setdefault(b, {})[a] = True
        if add_transitive_closure:
            self.duplicates = self.add_transitive_closure(self.duplicates)
        pairs = [(a, b) for a, others in self.duplicates.items() for b, same in others.items() if same]
        places = {sentence: i for i, sentence in enumerate(self.ids)}
        kept = [sorted((places[a], places[b])) for a, b in pairs if a in places and b in places]
        self._pairs = {(first, second) for first, second in kept}
        self.total_num_duplicates = len(self._pairs)
        self.csv_file = f"paraphrase_mining_evaluation{suffix(name)}_results.csv"

    @staticmethod
    def add_transitive_closure(graph: dict[str, dict[str, bool]]) -> dict[str, dict[str, bool]]:
        """Add duplicates of duplicates to a graph, which is returned."""
        visited: set[str] = set()
        for start in list(graph):
            if start in visited:
                continue
            group, queue = {start}, [start]
            while queue:
                others = [b for b, same in graph.get(queue.pop(), {}).items() if same and b not in group]
                group.update(others)
                queue.extend(others)
            visited |= group
            for a in group:
                graph.setdefault(a, {}).update({b: True for b in group if b != a})
        return graph

    def _measure(self, model: Any) -> Metrics:
        embeddings = self._embed(model, self.sentences)
        mined = util.paraphrase_mining_embeddings(
            embeddings, self.query_chunk_size, self.corpus_chunk_size, self.max_pairs, self.top_k
        )
        scores = np.array([score for score, _, _ in mined])
        correct = np.cumsum([(i, j) in self._pairs for _, i, j in mined])
        return _curve(scores, correct, self.total_num_duplicates)

    def _primary(self, metrics: Metrics) -> str:
        return "average_precision"

    def _columns(self) -> list[tuple[str, str]]:
        return [(key, key) for key in ("precision", "recall", "f1", "threshold", "average_precision")]

    def get_config_dict(self) -> dict[str, Any]:
        """Return settings that belong on a model card."""
        mined = {"add_transitive_closure": self._closed, "max_pairs": self.max_pairs, "top_k": self.top_k}
        return {**mined, **super().get_config_dict()}


def _curve(scores: NDArray[np.float64], correct: NDArray[np.int64], total: int) -> Metrics:
    """Return average precision, and the best F1 with its threshold, of pairs by falling score."""
    names = ("average_precision", "f1", "precision", "recall", "threshold")
    ends = np.flatnonzero(np.append(scores[:-1] != scores[1:], True)) if len(scores) else np.empty(0, np.int64)
    gains = np.diff(correct[ends], prepend=0)
    ends, gains = ends[gains > 0], gains[gains > 0]
    if not len(ends) or not total:
        return dict.fromkeys(names, 0.0)
    precision, recall = correct[ends] / (ends + 1), correct[ends] / total
    f1 = 2 * precision * recall / (precision + recall)
    best = int(np.argmax(f1))
    threshold = (scores[ends[best]] + scores[min(ends[best] + 1, len(scores) - 1)]) / 2
    average = float((precision * gains).sum() / total)
    values = (average, float(f1[best]), float(precision[best]), float(recall[best]), float(threshold))
    return dict(zip(names, values, strict=True))


class TranslationEvaluator(Evaluator):
    """Evaluator of translations: the share of sentences whose nearest one in the other language is their translation.

    Parameters
    ----------
    source_sentences, target_sentences
        Texts and their translations.
    show_progress_bar, batch_size
        See `Model.encode`.
    name
        Beginning of the metrics' names.
    print_wrong_matches
        Print each source that another target is nearest to.
    write_csv
        Append a line to a CSV file in the folder that a call gets.
    truncate_dim
        Number of columns to keep of embeddings.

    Raises
    ------
    InvalidArgumentError
        Lists differ in length or are empty.
    """

    def __init__(
        self,
        source_sentences: Sequence[str],
        target_sentences: Sequence[str],
        show_progress_bar: bool | None = False,
        batch_size: int = 16,
        name: str = "",
        print_wrong_matches: bool = False,
        write_csv: bool = True,
        truncate_dim: int | None = None,
    ) -> None:
        super().__init__(
            name=name,
            batch_size=batch_size,
            show_progress_bar=show_progress_bar,
            write_csv=write_csv,
            truncate_dim=truncate_dim,
        )
        same_length(source_sentences=source_sentences, target_sentences=target_sentences)
        self.source_sentences, self.target_sentences = source_sentences, target_sentences
        self.print_wrong_matches = print_wrong_matches
        self.csv_file = f"translation_evaluation{suffix(name)}_results.csv"

    def _measure(self, model: Any) -> Metrics:
        sources, targets = self._embed(model, self.source_sentences), self._embed(model, self.target_sentences)
        forward = self._matches(sources, targets, self.target_sentences)
        backward = self._matches(targets, sources, self.source_sentences)
        both = Statistic(_mean_of_two, (forward, backward))
        return {"src2trg_accuracy": mean(forward), "trg2src_accuracy": mean(backward), "mean_accuracy": both}

    def _matches(self, some: Any, others: Any, texts: Sequence[str]) -> NDArray[np.float64]:
        """Return 1 for each embedding whose nearest one has the text of its own translation."""
        ids, scores = nearest("cosine", some, others, 5)
        right = np.array([texts[i] == texts[row[0]] for i, row in enumerate(ids.tolist())], dtype=np.float64)
        if self.print_wrong_matches and texts is self.target_sentences:
            for i in np.flatnonzero(right == 0):
                self._show(int(i), ids[i].tolist(), scores[i].tolist())
        return right

    def _show(self, source: int, ids: list[int], scores: list[float]) -> None:
        print(f"\nSource {source}: {self.source_sentences[source]}")  # noqa: T201 -- asked for
        print(f"Target {source}: {self.target_sentences[source]}")  # noqa: T201
        for i, score in zip(ids, scores, strict=True):
            print(f"\t{score:.4f} target {i}: {self.target_sentences[i]}")  # noqa: T201

    def _primary(self, metrics: Metrics) -> str:
        return "mean_accuracy"

    def _columns(self) -> list[tuple[str, str]]:
        return [("src2trg", "src2trg_accuracy"), ("trg2src", "trg2src_accuracy")]


def _mean_of_two(first: NDArray[Any], second: NDArray[Any]) -> float:
    return float(first.mean() + second.mean()) / 2
