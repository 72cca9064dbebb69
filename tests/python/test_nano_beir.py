"""Evaluators over NanoBEIR's tasks, on a small folder in its layout."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest
from evaluations import CASES, arguments, judged, model

from rushlight import evaluation
from rushlight.exceptions import InvalidArgumentError

pytest.importorskip("scipy")
pytest.importorskip("sklearn")


TASKS = ("NanoMSMARCO", "NanoSciFact")


def nano(folder, *, parquet: bool) -> str:
    """Write two tasks in the layout of NanoBEIR, and return the folder."""
    given = arguments(CASES["retrieval"])
    for i, task in enumerate(TASKS):
        queries = dict(list(judged(given).items())[i * 12 : i * 12 + 12])
        pairs = [(query, document) for query in queries for document in sorted(given["relevant_docs"][query])]
        found = list(given["corpus"])[:20]
        subsets = {
            "corpus": [{"_id": key, "text": text} for key, text in given["corpus"].items()],
            "queries": [{"_id": key, "text": text} for key, text in queries.items()],
            "qrels": [{"query-id": query, "corpus-id": document} for query, document in pairs],
            "bm25": [{"query-id": query, "corpus-ids": found} for query in queries],
        }
        for subset, rows in subsets.items():
            (folder / subset).mkdir(parents=True, exist_ok=True)
            if parquet:
                import pyarrow.parquet

                path = folder / subset / f"{task}-00000-of-00001.parquet"
                pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
            else:
                lines = "\n".join(map(json.dumps, rows))
                (folder / subset / f"{task}.jsonl").write_text(lines, encoding="utf-8")
    return str(folder)


@pytest.mark.parametrize("parquet", [False, True])
def test_nano_beir_is_the_mean_of_its_tasks(tmp_path, parquet):
    folder, encoder = nano(tmp_path / "data", parquet=parquet), model("retrieval")
    measured = evaluation.NanoBEIREvaluator(["msmarco", "SciFact"], folder)
    result = measured(encoder, tmp_path / "csv")
    names = [f"{prefix}_cosine_ndcg@10" for prefix in (*TASKS, "NanoBEIR_mean")]
    assert result[names[2]] == np.mean([result[names[0]], result[names[1]]])
    assert measured.primary_metric == result.primary_metric == names[2]
    assert result.interval(names[0]).low <= result[names[0]]
    with pytest.raises(InvalidArgumentError, match="has no items to resample"):
        result.interval()
    row = list(csv.reader(io.StringIO((tmp_path / "csv/NanoBEIR_evaluation_mean_results.csv").read_text())))
    assert dict(zip(*row, strict=True))["cosine-NDCG@10"] == str(result[names[2]])
    one = evaluation.InformationRetrievalEvaluator(**arguments(CASES["retrieval"]))(encoder)
    assert one["ir_cosine_ndcg@10"] == pytest.approx(result[names[2]])  # half of the queries each


def test_nano_beir_of_other_kinds(tmp_path):
    folder = nano(tmp_path / "data", parquet=False)
    sparse = evaluation.SparseNanoBEIREvaluator(["msmarco", "scifact"], folder, max_active_dims=16)
    result = sparse(model("sparse-retrieval"), tmp_path / "sparse")
    assert result.primary_metric == "NanoBEIR_mean_16_dot_ndcg@10"
    assert result["NanoMSMARCO_16_corpus_active_dims"] == result["NanoBEIR_mean_16_query_active_dims"] == 16
    assert (tmp_path / "sparse/NanoBEIR_evaluation_mean_results.csv").read_text().splitlines()[0].endswith("avg_flops")
    vectors = evaluation.MultiVectorNanoBEIREvaluator(["msmarco"], folder)
    assert vectors(model("multi-vector-retrieval")).primary_metric == "NanoBEIR_mean_maxsim_ndcg@10"
    reranked = evaluation.CrossEncoderNanoBEIREvaluator(["msmarco"], folder, rerank_k=5)
    result = reranked(model("ce-binary"), tmp_path)
    assert result.primary_metric == "NanoBEIR_R5_mean_ndcg@10"
    assert result["NanoMSMARCO_R5_base_map"] == result["NanoBEIR_R5_mean_base_map"]


def test_nano_beir_says_what_is_missing(tmp_path):
    folder = nano(tmp_path, parquet=False)
    with pytest.raises(InvalidArgumentError, match=r"dataset_names: must be one of .*'msmarco'.*got 'marco'"):
        evaluation.NanoBEIREvaluator(["marco"], folder)
    with pytest.raises(InvalidArgumentError, match=r"query_prompts: .* lacks scifact"):
        evaluation.NanoBEIREvaluator(["msmarco", "scifact"], folder, query_prompts={"msmarco": "query: "})
    with pytest.raises(FileNotFoundError, match=r"corpus: has no NanoNQ\.parquet"):
        evaluation.NanoBEIREvaluator(["nq"], folder)
    (tmp_path / "qrels" / "NanoMSMARCO.jsonl").write_text('{"query-id": "q"}\n')
    with pytest.raises(InvalidArgumentError, match="rows must have query-id, corpus-id, one lacks 'corpus-id'"):
        evaluation.NanoBEIREvaluator(["msmarco"], folder)
    (tmp_path / "qrels" / "NanoMSMARCO.jsonl").write_text("[1]\n")
    with pytest.raises(InvalidArgumentError, match=r"NanoMSMARCO\.jsonl:1: must be a JSON object, got list"):
        evaluation.NanoBEIREvaluator(["msmarco"], folder)
    with pytest.raises(OSError, match="someone/absent: is no folder, and the hub did not deliver it"):
        evaluation.NanoBEIREvaluator(["msmarco"], "someone/absent")
