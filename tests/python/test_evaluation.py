"""Evaluators beside those of sentence-transformers: keys, values, primary metrics and CSV files; and bad data."""

from __future__ import annotations

import csv
import io
import json
from types import SimpleNamespace

import numpy as np
import pytest
from cases import DATA
from evaluations import CASES, arguments, evaluator, judged, model

import rushlight
from rushlight import evaluation, util
from rushlight.exceptions import InvalidArgumentError, MissingDependencyError

pytest.importorskip("scipy")
pytest.importorskip("sklearn")


def close(values: list, expected: list) -> bool:
    pairs = zip(map(float, values), map(float, expected), strict=True)
    return all(abs(a - b) <= 1e-5 * max(1, abs(b)) for a, b in pairs)


@pytest.mark.parametrize("of_compat", [False, True], ids=["rushlight", "compat"])
@pytest.mark.parametrize("name", CASES)
def test_metrics_are_those_of_sentence_transformers(name, of_compat, tmp_path):
    case, measured = CASES[name], evaluator(name)
    result = measured(model(name, of_compat=of_compat), tmp_path)
    assert list(result) == list(case["metrics"])
    assert close(list(result.values()), list(case["metrics"].values()))
    assert measured.primary_metric == result.primary_metric == case["primary_metric"]
    assert result.value == result[case["primary_metric"]]
    files = {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()}
    assert set(files) == set(case["csv"])
    for file, text in files.items():
        header, row = csv.reader(io.StringIO(text))
        expected_header, expected_row = csv.reader(io.StringIO(case["csv"][file]))
        assert header == expected_header
        assert close(row, expected_row)


def test_a_line_is_appended_for_each_call(tmp_path):
    measured, encoder = evaluator("triplet"), model("triplet")
    first = measured(encoder, str(tmp_path), 0, 10)
    assert measured(encoder, str(tmp_path), 1, 20) == first
    [file] = tmp_path.iterdir()
    rows = list(csv.reader(file.read_text(encoding="utf-8").splitlines()))
    assert [row[:2] for row in rows] == [["epoch", "steps"], ["0", "10"], ["1", "20"]]
    assert rows[0] == measured.csv_headers
    quiet = evaluation.TripletEvaluator(["a"], ["b"], ["c"], write_csv=False)
    quiet(encoder, tmp_path / "quiet")
    assert list((tmp_path / "quiet").iterdir()) == []


def test_chunks_and_score_functions_change_no_rank():
    encoder = model("retrieval")
    given = arguments(CASES["retrieval"])
    expected = evaluation.InformationRetrievalEvaluator(**given)(encoder)
    for chunk in (1, 7, 200):
        assert evaluation.InformationRetrievalEvaluator(**given, corpus_chunk_size=chunk)(encoder) == expected
    functions = {"cosine": util.cos_sim, "own": lambda a, b: util.cos_sim(a, b) * 2}
    both = evaluation.InformationRetrievalEvaluator(**given, score_functions=functions, main_score_function="own")
    result = both(encoder)
    assert result.primary_metric == "ir_own_ndcg@10"
    for key, value in expected.items():
        assert result[key] == result[key.replace("cosine", "own")] == value
    embeddings = encoder.encode_document(list(given["corpus"].values()))
    assert evaluation.InformationRetrievalEvaluator(**given)(encoder, corpus_embeddings=embeddings) == expected


def test_prompts_that_replace_the_markers_of_a_model_are_logged(caplog):
    encoder, given = model("multi-vector-retrieval"), arguments(CASES["multi-vector-retrieval"])
    encoder.prompts = {"query": "[Q] ", "passage": "[D] "}
    measure = evaluation.MultiVectorInformationRetrievalEvaluator
    measure(**given, query_prompt="[Q] a ")(encoder)
    assert caplog.messages == []
    measure(**given, query_prompt="a ", corpus_prompt="b ")(encoder)
    assert caplog.messages == [
        "query_prompt replaces the model's registered 'query' prompt, '[Q] '",
        "corpus_prompt replaces the model's registered 'passage' prompt, '[D] '",
    ]
    with pytest.raises(InvalidArgumentError, match="chunk_elements only configures"):
        measure(**given, chunk_elements=1, score_functions={"own": max})


def test_sparse_and_multi_vector_corpora_can_be_given():
    for name in ("sparse-retrieval", "multi-vector-retrieval"):
        encoder, given = model(name), arguments(CASES[name])
        embeddings = encoder.encode_document(list(given["corpus"].values()))
        result = evaluator(name)(encoder, corpus_embeddings=embeddings)
        assert close(list(result.values()), list(CASES[name]["metrics"].values()))


def test_equal_scores_are_in_the_order_of_ids():
    class Same:
        similarity_fn_name = "dot"

        def encode_query(self, texts, **_):
            return np.ones((len(texts), 2), np.float32)

        encode_document = encode_query

    corpus = {str(i): "text" for i in (2, 10, 1, 3)}  # "1", "10", "2", "3"
    for chunk in (1, 2, 100):
        measured = evaluation.InformationRetrievalEvaluator(
            {"q": "query"}, corpus, {"q": {"10"}}, corpus_chunk_size=chunk, mrr_at_k=[1, 2, 4]
        )
        result = measured(Same())
        assert (result["dot_mrr@1"], result["dot_mrr@2"]) == (0, 0.5)


def test_predictions_are_written(tmp_path):
    given = arguments(CASES["retrieval"])
    evaluation.InformationRetrievalEvaluator(**given, write_predictions=True)(model("retrieval"), tmp_path)
    lines = (tmp_path / "Information-Retrieval_evaluation_ir_predictions_cosine.jsonl").read_text().splitlines()
    assert len(lines) == len(judged(given))
    first = json.loads(lines[0])
    assert first["query"] == given["queries"][first["query_id"]]
    scores = [hit["score"] for hit in first["results"]]
    assert len(scores) == 100
    assert scores == sorted(scores, reverse=True)


def test_several_evaluators_in_sequence():
    encoder = model("triplet")
    sequence = evaluation.SequentialEvaluator([evaluator("triplet"), evaluator("similarity")])
    result = sequence(encoder)
    assert result["sequential_score"] == result["s_spearman_cosine"]
    assert sequence.primary_metric == "sequential_score"
    assert result.interval("t_cosine_accuracy").low <= result["t_cosine_accuracy"]
    mean = evaluation.SequentialEvaluator([evaluator("triplet")], main_score_function=np.mean)
    assert mean(encoder)["sequential_score"] == result["t_cosine_accuracy"]


def test_reranking_query_by_query_gives_the_same():
    encoder, given = model("reranking"), arguments(CASES["reranking"])
    result = evaluation.RerankingEvaluator(**given, use_batched_encoding=False)(encoder)
    assert close(list(result.values()), list(CASES["reranking"]["metrics"].values()))


def test_students_are_compared_with_their_teacher(tmp_path):
    encoder, texts = model("similarity"), ["red lamp", "river stone", "garden"]
    others = ["bread train", "music", "window market"]
    measured = evaluation.MSEEvaluator(texts, others, encoder, name="m")
    expected = 100 * ((encoder.encode(texts) - encoder.encode(others)) ** 2).mean()
    assert measured(encoder, tmp_path)["m_negative_mse"] == pytest.approx(-expected, rel=1e-5)
    assert float((tmp_path / "mse_evaluation_m_results.csv").read_text().split(",")[-1]) == pytest.approx(expected)
    rows = [{"en": a, "de": b, "fr": ""} for a, b in zip(texts, others, strict=True)]
    frame = evaluation.MSEEvaluatorFromDataFrame(rows, encoder, [("en", "de"), ("de", "en")])
    assert frame(encoder, tmp_path)["negative_mse"] == pytest.approx(-expected, rel=1e-5)
    sparse = model("sparse-similarity")
    figures = evaluation.SparseMSEEvaluator(texts, texts, sparse, max_active_dims=4)(sparse)
    assert figures == {"negative_mse": 0, "active_dims": 4, "sparsity_ratio": pytest.approx(1 - 4 / 420)}


def test_several_labels_of_a_reranker():
    reranker = rushlight.Reranker(DATA / "rerank/rerank-bert-3-labels/model")
    pairs = [("red lamp", "river"), ("stone", "bread"), ("train", "garden"), ("music", "window")]
    predicted = reranker.predict(pairs).argmax(axis=1)
    right = evaluation.CrossEncoderClassificationEvaluator(pairs, predicted.tolist())
    assert right(reranker) == {"f1_macro": 1, "f1_micro": 1, "f1_weighted": 1}
    wrong = evaluation.CrossEncoderClassificationEvaluator(pairs, ((predicted + 1) % 3).tolist())
    assert wrong(reranker)["f1_micro"] == 0
    with pytest.raises(InvalidArgumentError, match=r"model: must have one label, got 3"):
        evaluation.CrossEncoderCorrelationEvaluator(pairs, [1, 2, 3, 4])(reranker)


def test_fused_rankings(tmp_path):
    dense = [{"query_id": 1, "query": "q", "positive": ["a"], "documents": ["b", "a", "c"]}]
    sparse = [{"query_id": 1, "query": "q", "positive": ["a"], "documents": ["a", "d"]}]
    measured = evaluation.ReciprocalRankFusionEvaluator(dense, sparse, name="f", write_predictions=True)
    result = measured(tmp_path)
    assert (result["f_dense_mrr@10"], result["f_sparse_mrr@10"], result["f_mrr@10"]) == (0.5, 1, 1)
    assert result.primary_metric == "f_ndcg@10"
    written = (tmp_path / "ReciprocalRankFusion_evaluation_f_predictions.jsonl").read_text()
    assert json.loads(written)["documents"] == ["a", "b", "d", "c"]
    with pytest.raises(InvalidArgumentError, match="sparse_samples: must have the query_ids"):
        evaluation.ReciprocalRankFusionEvaluator(dense, [{**sparse[0], "query_id": 2}])


def test_thresholds_lie_between_scores():
    best = evaluation.BinaryClassificationEvaluator.find_best_acc_and_threshold
    assert best([0.9, 0.8, 0.2, 0.1], [1, 1, 0, 0], True) == (1.0, 0.5)
    assert best([0.1, 0.2, 0.8, 0.9], [1, 1, 0, 0], False) == (1.0, 0.5)
    accuracy, threshold = best([0.5, 0.4], [0, 0], True)
    assert accuracy == 1
    assert threshold > 0.5
    f1 = evaluation.BinaryClassificationEvaluator.find_best_f1_and_threshold
    assert f1([0.9, 0.8, 0.2, 0.1], [1, 0, 1, 0], True) == (
        pytest.approx(0.8),
        pytest.approx(2 / 3),
        1,
        pytest.approx(0.15),
    )
    assert f1([0.9], [0], True) == (0, 0, 0, 0)


def test_own_evaluators_are_called_like_the_others():
    class Length(evaluation.BaseEvaluator):
        primary_metric = "length"

        def __call__(self, model, output_path=None, epoch=-1, steps=-1):
            return {"length": float(model.embedding_dimension)}

    encoder = model("similarity", of_compat=True)
    assert encoder.evaluate(Length()) == {"length": 32}
    assert encoder.evaluate(evaluation.SequentialEvaluator([Length()]))["sequential_score"] == 32
    assert Length().description == "Length"
    assert (
        evaluation.CrossEncoderClassificationEvaluator([("a", "b")], [1]).description == "Cross Encoder Classification"
    )


BAD = {
    "sentences2: must have as many items as sentences1, 1, got 2": lambda: evaluation.EmbeddingSimilarityEvaluator(
        ["a"], ["b", "c"], [1]
    ),
    "sentences1: must not be empty": lambda: evaluation.BinaryClassificationEvaluator([], [], []),
    r"labels\[1\]: must be 0 or 1, got 2": lambda: evaluation.BinaryClassificationEvaluator("ab", "cd", [1, 2]),
    "similarity_fn_names: must be one of .*'cosine'.*got 'cos'": lambda: evaluation.TripletEvaluator(
        ["a"], ["b"], ["c"], similarity_fn_names=["cos"]
    ),
    "margin: must be one of": lambda: evaluation.TripletEvaluator(["a"], ["b"], ["c"], margin={"x": 1}),
    "relevant_docs: must have a document": lambda: evaluation.InformationRetrievalEvaluator({"q": "a"}, {"d": "b"}, {}),
    "mrr_at_k: must be at least 1, got 0": lambda: evaluation.InformationRetrievalEvaluator(
        {"q": "a"}, {"d": "b"}, {"q": {"d"}}, mrr_at_k=[0]
    ),
    r"samples\[0\]: must have .*lacks 'negative'": lambda: evaluation.RerankingEvaluator(
        [{"query": "q", "positive": ["a"]}]
    ),
    r"samples\[0\]: must have either": lambda: evaluation.CrossEncoderRerankingEvaluator(
        [{"query": "q", "positive": ["a"]}]
    ),
    "precision: must be one of": lambda: evaluation.EmbeddingSimilarityEvaluator(["a"], ["b"], [1], precision="int4"),
    "truncate_dim: sparse embeddings have none": lambda: evaluation.SparseTripletEvaluator(
        ["a"], ["b"], ["c"], truncate_dim=2
    ),
    "truncate_dim: vectors of tokens": lambda: evaluation.MultiVectorTripletEvaluator(
        ["a"], ["b"], ["c"], truncate_dim=2
    ),
    "teacher_model: must be a model": lambda: evaluation.MSEEvaluator(["a"], ["b"]),
    r"scores: must have shape \(1, 2\), got \(1,\)": lambda: evaluation.MultiVectorDistillationEvaluator(
        ["q"], [["a", "b"]], [1.0]
    ),
    "temperature: must be a finite number above 0": lambda: evaluation.MultiVectorDistillationEvaluator(
        ["q"], [["a", "b"]], [[1.0, 2.0]], temperature=-1.0
    ),
    "sentences_map: must have at least 2": lambda: evaluation.ParaphraseMiningEvaluator({"a": "text"}),
}


@pytest.mark.parametrize("message", BAD)
def test_bad_data_is_an_error(message):
    with pytest.raises(InvalidArgumentError, match=message):
        BAD[message]()


def test_a_missing_library_is_named(monkeypatch):
    import importlib

    def absent(name: str) -> SimpleNamespace:
        raise ImportError(name)

    measured, encoder = evaluator("similarity"), model("similarity")
    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(MissingDependencyError, match=r"this needs scipy.*pip install 'rushlight\[evaluation\]'"):
        measured(encoder)


def test_scores_are_held_in_blocks(monkeypatch):
    from rushlight.evaluation import _embeddings

    monkeypatch.setattr(_embeddings, "_SCORES", 64)
    monkeypatch.setattr(_embeddings, "_ROWS", 8)
    shapes = []

    def score(a, b):
        shapes.append((len(a), len(b)))
        return util.cos_sim(a, b)

    given, encoder = arguments(CASES["retrieval"]), model("retrieval")
    result = evaluation.InformationRetrievalEvaluator(**given, score_functions={"cosine": score})(encoder)
    assert close(list(result.values()), list(CASES["retrieval"]["metrics"].values()))
    assert max(shapes) == (8, 8)
    for name in ("sparse-retrieval", "multi-vector-retrieval"):
        result = evaluator(name)(model(name))
        assert close(list(result.values()), list(CASES[name]["metrics"].values()))
