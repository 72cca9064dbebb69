"""Results of evaluations: intervals, comparisons, tables, plots, and the command `evaluate`."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
from cases import DATA
from evaluations import CASES, FOLDER, arguments, evaluator, model

from rushlight import Model, evaluation
from rushlight.evaluation import Evaluation
from rushlight.evaluation._statistics import matthews, mean
from rushlight.exceptions import InvalidArgumentError

pytest.importorskip("scipy")
pytest.importorskip("sklearn")

DENSE = FOLDER / "bert-mean-normalize"
OTHER = DATA / "tiny/bert-mean-normalize/model"


def test_an_interval_contains_the_value_and_shrinks_with_more_items():
    numbers = np.random.default_rng(1).normal(0.5, 0.1, 1000)
    few, many = (Evaluation({"m": mean(numbers[:count])}, "m") for count in (50, 1000))
    for result in (few, many):
        bounds = result.interval()
        assert bounds.low < result["m"] < bounds.high
        assert bounds == result.interval("m", seed=0) != result.interval(seed=1)
    width = many.interval().high - many.interval().low
    assert width == pytest.approx(2 * 1.96 * 0.1 / np.sqrt(1000), rel=0.1)
    narrow = many.interval(confidence_level=0.5)
    assert narrow.high - narrow.low < width
    assert few.interval().high - few.interval().low > 2 * width


def test_intervals_of_all_kinds_of_statistics():
    for name in ("similarity-four-main", "binary", "retrieval", "ce-reranking-documents", "translation"):
        result = evaluator(name)(model(name))
        for metric in result.statistics:
            bounds = result.interval(metric, n_resamples=50)
            assert bounds.low <= bounds.high
            assert bounds.low - 0.2 <= result[metric] <= bounds.high + 0.2


@pytest.mark.filterwarnings("error")
def test_resamples_with_one_label_correlate_with_nothing():
    assert matthews(np.array([0.1, 0.9]), np.array([1, 1])) == 0
    assert matthews(np.array([0.5, 0.5]), np.array([0, 1])) == 0
    assert matthews(np.array([0.1, 0.9]), np.array([0, 1])) == 1


def test_two_models_on_the_same_items():
    rng = np.random.default_rng(2)
    items = rng.random(400)
    first = Evaluation({"m": mean(items)}, "m")
    better = first.compare(Evaluation({"m": mean(items + rng.normal(0.1, 0.1, 400))}, "m"))
    assert better.difference == pytest.approx(0.1, abs=0.02)
    assert better.low < better.difference < better.high
    assert better.p_value == pytest.approx(2 / 1001)  # no resample had another sign
    alike = first.compare(Evaluation({"m": mean(items + rng.normal(0, 0.1, 400))}, "m"))
    assert alike.low < 0 < alike.high
    assert alike.p_value > 0.05
    same = first.compare(first)
    assert (same.difference, same.p_value) == (0, 1)
    assert str(same).startswith("m: ")
    with pytest.raises(InvalidArgumentError, match="other: must be of the same 400 items, got 3"):
        first.compare(Evaluation({"m": mean([1, 2, 3])}, "m"))


def test_p_values_are_right_as_often_as_they_say():
    rng = np.random.default_rng(3)
    values = []
    for _ in range(100):
        items = rng.random(60)
        pair = (Evaluation({"m": mean(items + rng.normal(0, 0.1, 60))}, "m") for _ in range(2))
        first, second = pair
        values.append(first.compare(second, n_resamples=200).p_value)
    assert 1 <= np.count_nonzero(np.array(values) < 0.1) <= 22


def test_what_cannot_be_resampled_is_an_error():
    result = Evaluation({"m": mean([1, 2]), "plain": 1.0}, "m")
    with pytest.raises(InvalidArgumentError, match="metric: plain has no items to resample; those that have: m"):
        result.interval("plain")
    with pytest.raises(InvalidArgumentError, match=r"metric: must be one of 'm', 'plain', got 'x'"):
        result.interval("x")
    with pytest.raises(InvalidArgumentError, match="confidence_level: must be between 0 and 1, got 95"):
        result.interval(confidence_level=95)
    with pytest.raises(InvalidArgumentError, match="items: a bootstrap needs at least 2, got 1"):
        Evaluation({"m": mean([1])}, "m").interval()


def test_a_result_is_a_dict_that_can_be_pickled():
    result = evaluator("similarity")(model("similarity"))
    copied = pickle.loads(pickle.dumps(result))
    assert copied == result == dict(result)
    assert (copied.primary_metric, copied.value) == ("s_spearman_cosine", result.value)
    assert copied.interval(n_resamples=20) == result.interval(n_resamples=20)


def test_tables_have_a_line_for_each_metric():
    first, second = (evaluator("similarity")(Model(path)) for path in (DENSE, OTHER))
    lines = first.table().splitlines()
    assert [line.split()[-2] for line in lines] == list(first)
    assert [line[0] for line in lines] == [" ", "*"]
    [line] = first.table(["s_spearman_cosine"], intervals=True, against=second, n_resamples=50).splitlines()
    assert line.count("[") == 2
    assert f"{second.value:.4f}" in line
    assert "p = " in line


def test_plots_are_bars_or_recall_over_k():
    pytest.importorskip("matplotlib").use("agg")
    first, second = (evaluator("similarity")(Model(path)) for path in (DENSE, OTHER))
    axes = first.plot(against=second, labels=("one", "two"), n_resamples=20)
    assert [text.get_text() for text in axes.get_yticklabels()] == list(first)
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["one", "two"]
    assert [bar.get_width() for bar in axes.patches] == pytest.approx([*first.values(), *second.values()])
    found = evaluator("retrieval")(Model(DENSE))
    axes = found.plot(n_resamples=20)
    assert axes.get_xlabel() == "k"
    assert axes.lines[0].get_xydata().tolist() == [[k, found[f"ir_cosine_recall@{k}"]] for k in (1, 3, 5, 10)]
    bars = found.plot(["ir_cosine_ndcg@10"], ax=axes.figure.add_subplot(), n_resamples=20)
    assert len(bars.patches) == 1
    import matplotlib.pyplot as plt

    plt.close("all")


# The command


def table(path, name: str, *columns: str):
    case = CASES[name]["args"]
    names = {"sentences1": "sentence1", "sentences2": "sentence2", "scores": "score", "labels": "label"}
    heads = [names.get(column, column.removesuffix("s")) for column in columns]
    rows = zip(*(case[column] for column in columns), strict=True)
    path.write_text("\n".join("\t".join(map(str, row)) for row in [heads, *rows]) + "\n", encoding="utf-8")
    return path


def values(out: str) -> dict[str, float]:
    return {(words := line.lstrip("* ").split())[0]: float(words[1]) for line in out.splitlines()}


def test_the_command_prints_metrics_with_intervals(command, tmp_path):
    file = table(tmp_path / "sts.tsv", "similarity", "sentences1", "sentences2", "scores")
    done = command("evaluate", DENSE, "--sts", file, "--resamples", 20)
    assert (done.status, done.err) == (0, "")
    expected = CASES["similarity"]["metrics"]
    assert values(done.out) == {
        key.removeprefix("s_"): pytest.approx(value, abs=1e-4) for key, value in expected.items()
    }
    assert done.out.splitlines()[1].startswith("* spearman_cosine")


COLUMNS = {
    "pairs": ("sentences1", "sentences2", "labels"),
    "triplets": ("anchors", "positives", "negatives"),
}


@pytest.mark.parametrize(
    ("task", "case", "kind"),
    [
        ("pairs", "binary", "sentence"),
        ("triplets", "triplet", "sentence"),
        ("triplets", "multi-vector-triplet", "multi-vector"),
        ("pairs", "sparse-binary", "sparse"),
    ],
)
def test_the_command_evaluates_all_kinds(command, tmp_path, task, case, kind):
    file = table(tmp_path / "data.tsv", case, *COLUMNS[task])
    words = ["evaluate", FOLDER / CASES[case]["model"], f"--{task}", file, "--kind", kind, "--resamples", 20, "--jsonl"]
    report = json.loads(command(*words).out)
    expected = {key.split("_", 1)[1]: value for key, value in CASES[case]["metrics"].items()}
    assert report["metrics"] == {key: pytest.approx(value, rel=1e-5) for key, value in expected.items()}


def test_the_command_scores_pairs_by_a_reranker(command, tmp_path):
    case = CASES["ce-correlation"]
    first, second = zip(*case["args"]["sentence_pairs"], strict=True)
    rows = zip(first, second, case["args"]["scores"], strict=True)
    file = tmp_path / "sts.jsonl"
    file.write_text("\n".join(json.dumps({"a": a, "b": b, "c": c}) for a, b, c in rows))
    words = ["--sts", file, "--fields", "a,b,c", "--kind", "reranker", "--resamples", 20, "--jsonl"]
    report = json.loads(command("evaluate", FOLDER / "rerank-bert", *words).out)
    assert report["metrics"]["spearman"] == pytest.approx(case["metrics"]["c_spearman"], abs=1e-5)


def beir(folder):
    given = arguments(CASES["retrieval"])
    (folder / "qrels").mkdir(parents=True)
    for name in ("queries", "corpus"):
        lines = [json.dumps({"_id": key, "text": text, "title": ""}) for key, text in given[name].items()]
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    pairs = [f"{query}\t{document}\t1" for query, found in given["relevant_docs"].items() for document in found]
    (folder / "qrels/test.tsv").write_text("\n".join(["query-id\tcorpus-id\tscore", *pairs, "q0\td0\t0"]) + "\n")
    return folder


def test_the_command_compares_two_dtypes_on_beirs_layout(command, tmp_path):
    folder = beir(tmp_path / "beir")
    words = ["evaluate", DENSE, "--retrieval", folder, "--against", DENSE, "--against-dtype", "int8", "--resamples", 20]
    report = json.loads(command(*words, "--jsonl").out)
    expected = {key.removeprefix("ir_"): value for key, value in CASES["retrieval"]["metrics"].items()}
    assert report["metrics"] == {key: pytest.approx(value, rel=1e-5) for key, value in expected.items()}
    assert report["against"]["metrics"] != report["metrics"]
    assert set(report["against"]["p_values"]) == set(expected)
    pytest.importorskip("matplotlib").use("agg")
    done = command(*words, "--plot", tmp_path / "recall.png")
    assert all("p = " in line for line in done.out.splitlines())
    assert (tmp_path / "recall.png").read_bytes()[:4] == b"\x89PNG"


def test_titles_come_before_texts(tmp_path):
    folder = beir(tmp_path / "beir")
    with (folder / "corpus.jsonl").open("a") as file:
        file.write('{"_id": "x", "title": "Lamps", "text": "They shine."}\n')
    assert evaluation.load_beir(folder)[1]["x"] == "Lamps They shine."


def test_the_command_says_what_is_wrong_with_data(command, tmp_path):
    file = tmp_path / "sts.tsv"
    file.write_text("sentence1\tsentence2\tscore\na\tb\thigh\n")
    assert "score: must be a number, got 'high'" in command("evaluate", DENSE, "--sts", file).error
    assert (
        "no field 'label'; there are 'sentence1', 'sentence2', 'score'"
        in command("evaluate", DENSE, "--pairs", file).error
    )
    assert (
        "--sts: is for the kinds sentence, sparse, reranker, got multi-vector"
        in command("evaluate", DENSE, "--sts", file, "--kind", "multi-vector").error
    )
    assert "queries.jsonl: does not exist" in command("evaluate", DENSE, "--retrieval", tmp_path).error
    assert (
        "--against-dtype: needs --against" in command("evaluate", DENSE, "--sts", file, "--against-dtype", "int8").error
    )
    assert "--fields: must be 3 names" in command("evaluate", DENSE, "--sts", file, "--fields", "a,b").error
    folder = beir(tmp_path / "beir")
    (folder / "qrels/test.tsv").write_text("query-id\tcorpus-id\tscore\nq0\td0\tyes\n")
    assert (
        "test.tsv:2: must be a query, a document and a number"
        in command("evaluate", DENSE, "--retrieval", folder).error
    )
    assert command("evaluate", DENSE).status == 2


def test_resamples_without_a_value_are_left_out():
    first = Evaluation({"m": mean([np.nan, 1.0, 2.0])}, "m")
    assert first.interval() == evaluation.Interval(1.0, 2.0)
    with pytest.raises(InvalidArgumentError, match="items: the metric is undefined in all resamples of 2"):
        Evaluation({"m": mean([np.nan, np.nan])}, "m").interval()
