"""mteb on small tasks of our own, by models of rushlight and of `rushlight.compat`."""

from __future__ import annotations

import numpy as np
import pytest
from evaluations import CASES, FOLDER, arguments

from rushlight import Model, Reranker, evaluation
from rushlight.compat import CrossEncoder, SentenceTransformer
from rushlight.evaluation.mteb import MTEBEncoder, MTEBReranker
from rushlight.exceptions import InvalidArgumentError

pytestmark = pytest.mark.filterwarnings("ignore")  # of mteb
mteb = pytest.importorskip("mteb")

DENSE = FOLDER / "bert-mean-normalize"


def metadata(name: str, kind: str, score: str):
    from mteb.abstasks.task_metadata import TaskMetadata

    return TaskMetadata(
        name=name,
        description="A small task of random words.",
        dataset={"path": "rushlight/none", "revision": "1"},
        type=kind,
        category="t2t",
        eval_splits=["test"],
        eval_langs=["eng-Latn"],
        main_score=score,
        modalities=["text"],
    )


def retrieval():
    from datasets import Dataset
    from mteb.abstasks.retrieval import AbsTaskRetrieval

    given = arguments(CASES["retrieval"])
    queries = {query: text for query, text in given["queries"].items() if given["relevant_docs"].get(query)}

    class Words(AbsTaskRetrieval):
        metadata = metadata("RushlightWords", "Retrieval", "ndcg_at_10")

        def load_data(self, *args, **kwargs):
            corpus = [{"id": key, "text": text, "title": ""} for key, text in given["corpus"].items()]
            relevant = {query: dict.fromkeys(given["relevant_docs"][query], 1) for query in queries}
            split = {
                "corpus": Dataset.from_list(corpus),
                "queries": Dataset.from_list([{"id": key, "text": text} for key, text in queries.items()]),
                "relevant_docs": relevant,
                "top_ranked": None,
            }
            self.dataset = {"default": {"test": split}}
            self.data_loaded = True

    return Words()


def similarity():
    from datasets import Dataset, DatasetDict
    from mteb.abstasks.sts import AbsTaskSTS

    given = CASES["similarity"]["args"]

    class Pairs(AbsTaskSTS):
        metadata = metadata("RushlightPairs", "STS", "cosine_spearman")
        min_score, max_score = 0, 1

        def load_data(self, *args, **kwargs):
            columns = {"sentence1": given["sentences1"], "sentence2": given["sentences2"], "score": given["scores"]}
            self.dataset = DatasetDict({"test": Dataset.from_dict(columns)})
            self.data_loaded = True

    return Pairs()


def scores(model, task) -> dict:
    found = mteb.evaluate(model, [task], cache=None, overwrite_strategy="always", show_progress_bar=False)
    [result] = found.task_results
    return result.scores["test"][0]


@pytest.mark.parametrize("given", ["encoder", "compat"])
def test_pairs(given):
    model = MTEBEncoder(Model(DENSE)) if given == "encoder" else SentenceTransformer(DENSE)
    expected = CASES["similarity"]["metrics"]["s_spearman_cosine"]
    assert scores(model, similarity())["cosine_spearman"] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("given", ["encoder", "compat"])
def test_retrieval(given):
    model = MTEBEncoder(Model(DENSE)) if given == "encoder" else SentenceTransformer(DENSE)
    found = scores(model, retrieval())
    expected = CASES["retrieval"]["metrics"]
    for k in (1, 3, 10):
        assert found[f"recall_at_{k}"] == pytest.approx(expected[f"ir_cosine_recall@{k}"], abs=1e-5)
    assert found["ndcg_at_10"] == pytest.approx(expected["ir_cosine_ndcg@10"], abs=1e-5)


def test_prompts_by_task():
    encoder = MTEBEncoder(
        Model(DENSE), name="me/small", prompts={"RushlightWords-query": "red lamp: ", "document": "river "}
    )
    given = arguments(CASES["retrieval"])
    own = evaluation.InformationRetrievalEvaluator(**given, query_prompt="red lamp: ", corpus_prompt="river ")
    expected = own(Model(DENSE))["ir_cosine_ndcg@10"]
    assert scores(encoder, retrieval())["ndcg_at_10"] == pytest.approx(expected, abs=1e-5)
    assert encoder.mteb_model_meta.name == "me/small"


def test_mtebs_own_wrapper_takes_a_model():
    from mteb.models.sentence_transformer_wrapper import SentenceTransformerEncoderWrapper

    wrapper = SentenceTransformerEncoderWrapper(SentenceTransformer(DENSE))
    expected = CASES["similarity"]["metrics"]["s_spearman_cosine"]
    assert scores(wrapper, similarity())["cosine_spearman"] == pytest.approx(expected, abs=1e-5)


def test_mtebs_own_wrapper_takes_a_reranker():
    from datasets import Dataset
    from mteb.models.sentence_transformer_wrapper import CrossEncoderWrapper
    from mteb.types import PromptType
    from torch.utils.data import DataLoader

    folder, pairs = FOLDER / "rerank-bert", [("red lamp", "river"), ("stone", "bread"), ("lamp", "lamp")]
    wrapper = CrossEncoderWrapper(CrossEncoder(folder))
    assert wrapper.mteb_model_meta.name == str(folder)
    loaders = [DataLoader(Dataset.from_dict({"text": list(side)}), 2) for side in zip(*pairs, strict=True)]
    options = {"task_metadata": retrieval().metadata, "hf_split": "test", "hf_subset": "default"}
    scores = wrapper.predict(*loaders, **options, prompt_type=PromptType.query, show_progress_bar=False)
    assert np.allclose(scores, Reranker(folder).predict(pairs), atol=1e-6)


def test_pairs_of_batches_are_scored():
    pairs = [("red lamp", "river"), ("stone", "bread")]
    batches = [[{"text": list(side)}] for side in zip(*pairs, strict=True)]
    ours, plain = MTEBReranker(Reranker(FOLDER / "rerank-bert")), Reranker(FOLDER / "rerank-bert").predict(pairs)
    assert np.array_equal(ours.predict(*batches), plain)


def test_names_have_an_owner():
    with pytest.raises(InvalidArgumentError, match="name: must be an owner, a slash and a name, got 'small'"):
        MTEBEncoder(Model(DENSE), name="small")
