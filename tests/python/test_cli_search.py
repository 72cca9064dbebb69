"""`rushlight` similarity, search, rerank, mine and cluster."""

from __future__ import annotations

import gzip
import json
import os
import shlex
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from cases import DATA, tiny
from program import PROGRAM, started

from rushlight import Model, Reranker, util
from rushlight._cli import parser

MODEL = tiny("bert-mean-normalize").model
PROMPTS = tiny("bert-cls-normalize-prompts").model
RERANKER = DATA / "rerank" / "rerank-bert" / "model"
TEXTS = ["A small lamp.", "ünï\tcode", "a lamp", "money", "A small lamp.", "much money", "shares", "A lamp."]
QUERIES = ["light", "what is a lamp?"]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    path = tmp_path / "corpus.txt"
    path.write_text("\n".join(TEXTS), encoding="utf-8")
    return path


def lines(done) -> list:
    assert (done.status, done.err) == (0, "")
    return [json.loads(line) for line in done.out.splitlines()]


# similarity


@pytest.mark.parametrize("name", [None, "cosine", "dot", "euclidean", "manhattan"])
def test_two_texts(command, name: str | None) -> None:
    model = Model(PROMPTS, similarity_fn_name=name)
    expected = model.similarity(model.encode("a\nb"), model.encode("c"))[0, 0]
    done = command("similarity", PROMPTS, "a\nb", "c", *(["--similarity", name] if name else []))
    assert done.err == ""
    assert np.float32(done.out) == expected


def test_two_files(command, corpus: Path, tmp_path: Path, model: Model) -> None:
    others = tmp_path / "others.csv"
    others.write_text("id,text\n1,lamp\n2,money\n")
    b = model.encode(["lamp", "money"], normalize_embeddings=True)
    expected = model.similarity(model.encode(TEXTS), b)
    words = ["similarity", MODEL, "--files", corpus, others, "--chunk-size", 3]
    rows = command(*words).out.splitlines()
    assert np.array_equal(np.array([row.split("\t") for row in rows], np.float32), expected)
    assert lines(command(*words, "--output-format", "jsonl"))[1]["text"] == TEXTS[1]
    assert lines(command(*words, "-o", tmp_path / "out.npy")) == []
    assert np.array_equal(np.load(tmp_path / "out.npy"), expected)


def test_two_files_by_pairs(command, corpus: Path, tmp_path: Path, model: Model) -> None:
    out = tmp_path / "out.npy"
    words = ["similarity", MODEL, "--files", "--pairwise", corpus, "-", "--chunk-size", 3]
    other = TEXTS[::-1]
    expected = model.similarity_pairwise(model.encode(TEXTS), model.encode(other))
    assert lines(command(*words, "-o", out, stdin="\n".join(other))) == []
    assert np.array_equal(np.load(out), expected)
    scores = [line["score"] for line in lines(command(*words, "--output-format", "jsonl", stdin="\n".join(other)))]
    assert np.array_equal(np.array(scores, np.float32), expected)
    for texts in (other[:2], other[:3], other[:7], [*other, "one more"], [*other, *other]):
        error = command(*words, stdin="\n".join(texts)).error
        assert error == f"{corpus} and stdin: must have the same number of texts for --pairwise"


@pytest.mark.parametrize("kind", ["npy", "tsv", "jsonl"])
def test_no_texts_to_compare_with(command, corpus: Path, tmp_path: Path, kind: str) -> None:
    out = tmp_path / f"out.{kind}"
    assert lines(command("similarity", MODEL, "--files", corpus, "-", "-o", out)) == []
    if kind == "npy":
        assert np.load(out).shape == (8, 0)
    else:
        assert len(out.read_text(encoding="utf-8").splitlines()) == 8
    assert lines(command("similarity", MODEL, "--files", "-", corpus, "-o", out, "--force")) == []


def test_similarity_of_what_does_not_go_together(command, corpus: Path) -> None:
    assert "stdin" in command("similarity", MODEL, "--files", "-", "-").error
    assert "--files" in command("similarity", MODEL, "a", "b", "--field", "body").error
    assert (
        "is read" in command("similarity", MODEL, "--files", "-", corpus, "-o", corpus, "--output-format", "tsv").error
    )


# search


def test_search_for_words(command, corpus: Path) -> None:
    model = Model(PROMPTS)
    expected = util.semantic_search(model.encode_query(QUERIES), model.encode_document(TEXTS), top_k=3)
    found = lines(command("search", PROMPTS, corpus, *QUERIES, "--top-k", 3, "--jsonl"))
    assert [query["query"] for query in found] == QUERIES
    for query, hits in zip(found, expected, strict=True):
        assert query["hits"] == [{**hit, "text": TEXTS[hit["corpus_id"]]} for hit in hits]
    out = command("search", PROMPTS, corpus, *QUERIES, "--top-k", 8).out.splitlines()
    assert [line for line in out if not line.startswith("  ")] == QUERIES
    assert len(out) == 2 * (1 + 8)
    assert any(line.endswith("\t1\tünï code") for line in out)


def test_search_for_a_file_of_queries_or_what_stdin_has(command, corpus: Path, tmp_path: Path) -> None:
    queries = tmp_path / "queries.txt"
    queries.write_text("\n".join(QUERIES))
    expected = command("search", MODEL, corpus, *QUERIES, "--jsonl")
    assert command("search", MODEL, corpus, "--queries", queries, "--jsonl") == expected
    assert command("search", MODEL, corpus, "--jsonl", stdin="\n".join(QUERIES)) == expected
    assert command("search", MODEL, "-", *QUERIES, "--jsonl", stdin="\n".join(TEXTS)) == expected
    assert command("search", MODEL, corpus, "--jsonl", stdin="").out == ""


def test_search_in_embeddings(command, corpus: Path, tmp_path: Path) -> None:
    npy = tmp_path / "corpus.npy"
    expected = lines(command("search", MODEL, corpus, *QUERIES, "--jsonl"))
    command("encode", MODEL, corpus, "-o", npy)
    assert lines(command("search", MODEL, npy, *QUERIES, "--texts", corpus, "--jsonl")) == expected
    for query in expected:
        for hit in query["hits"]:
            del hit["text"]
    assert lines(command("search", MODEL, npy, *QUERIES, "--jsonl")) == expected
    assert command("search", MODEL, npy, "money", "--top-k", 1).out == "money\n  1.0000\t3\n"


@pytest.mark.parametrize("precision", ["binary", "ubinary"])
def test_search_in_bits(command, corpus: Path, tmp_path: Path, model: Model, precision: str) -> None:
    npy, bits = tmp_path / "corpus.npy", tmp_path / "bits.npy"
    command("encode", MODEL, corpus, "-o", npy)
    command("encode", MODEL, corpus, "-o", bits, "--precision", precision)
    embeddings = model.encode(TEXTS)
    for words, again in [([], None), (["--rescore", npy], embeddings)]:
        (found,) = lines(command("search", MODEL, bits, "light", "--jsonl", "--top-k", 3, *words))
        (expected,) = util.semantic_search(
            model.encode("light"),
            util.quantize_embeddings(embeddings, precision),
            top_k=3,
            corpus_precision=precision,
            rescore_embeddings=again,
        )
        assert found["hits"] == expected


def test_prompts_and_scores_of_a_search(command, corpus: Path) -> None:
    model = Model(MODEL, truncate_dim=9)
    queries, documents = model.encode("q: lamp"), model.encode([f"d: {text}" for text in TEXTS])
    (expected,) = util.semantic_search(queries, documents, score_function="manhattan")
    words = ["--query-prompt", "q: ", "--document-prompt", "d: ", "--similarity", "manhattan", "--truncate-dim", 9]
    (found,) = lines(command("search", MODEL, corpus, "lamp", "--jsonl", *words))
    assert [(hit["corpus_id"], hit["score"]) for hit in found["hits"]] == [tuple(hit.values()) for hit in expected]


def test_search_in_nothing(command, tmp_path: Path) -> None:
    assert lines(command("search", MODEL, "-", "lamp", "--jsonl")) == [{"query": "lamp", "hits": []}]
    command("encode", MODEL, "-o", tmp_path / "none.npy")
    assert command("search", MODEL, tmp_path / "none.npy", "lamp").out == "lamp\n"


def test_search_of_what_does_not_go_together(command, corpus: Path, tmp_path: Path) -> None:
    npy = tmp_path / "corpus.npy"
    np.save(npy, np.zeros((2, 32), np.float32))
    bits, narrow, bad, flat = (tmp_path / f"{name}.npy" for name in ("bits", "narrow", "bad", "flat"))
    np.save(bits, np.zeros((2, 32), np.uint8))
    np.save(narrow, np.zeros((2, 5), np.float32))
    np.save(flat, np.zeros(32, np.float32))
    bad.write_bytes(b"text")
    for words, message in [
        ([corpus, "a", "--queries", corpus], "--queries"),
        (["-"], "stdin"),
        (["-", "--queries", "-"], "stdin"),
        ([corpus, "a", "--texts", corpus], "--texts"),
        ([npy, "a", "--field", "body"], "--texts"),
        ([npy, "a", "--document-prompt", "d: "], "--document-prompt"),
        ([npy, "a", "--texts", corpus], f"{corpus}: must have a text for each of 2 rows, has 8"),
        ([bits, "a"], f"{bits}: must be floats or bits of 32 columns"),
        ([npy, "a", "--rescore", npy], "rescore"),
        ([corpus, "a", "--rescore", npy], "--rescore"),
        ([flat, "a"], "float32 of shape (32,)"),
        ([narrow, "a"], "5"),
        ([bad, "a"], f"{bad}: must be an npy"),
        ([tmp_path / "none.npy", "a"], "No such file"),
    ]:
        assert message in command("search", MODEL, *words).error, words


def test_json_has_finite_numbers_alone(command, tmp_path: Path) -> None:
    npy = tmp_path / "corpus.npy"
    np.save(npy, np.full((2, 32), np.nan, np.float32))
    done = command("search", MODEL, npy, "lamp", "--jsonl")
    assert done.out == ""
    assert done.error == "--jsonl: not all numbers are finite, which JSON requires"


def test_a_zip_that_is_broken_is_no_npy(command, tmp_path: Path) -> None:
    npy = tmp_path / "corpus.npy"
    npy.write_bytes(b"PK\x03\x04")
    assert command("search", MODEL, npy, "lamp").error.startswith(f"{npy}: must be an npy")


def test_parquet_has_no_place_for_no_columns(command, corpus: Path, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    out = tmp_path / "out.parquet"
    out.write_bytes(b"there")
    error = command("similarity", MODEL, "--files", corpus, "-", "-o", out, "--force").error
    assert error == "scores: parquet has no rows without numbers"
    assert out.read_bytes() == b"there"


def test_each_line_of_a_pipe_is_answered_at_once(corpus: Path) -> None:
    with started("search", MODEL, corpus, "--top-k", "1") as process:
        for text in ["money", "shares"]:
            process.stdin.write(text.encode() + b"\n")
            process.stdin.flush()
            assert process.stdout.readline().rstrip() == text.encode()
            assert process.stdout.readline().startswith(b"  1.0000")
        process.communicate()
    assert process.returncode == 0


# rerank


def test_rerank(command, corpus: Path) -> None:
    expected = Reranker(RERANKER).rank("a lamp", TEXTS, return_documents=True)
    assert lines(command("rerank", RERANKER, "a lamp", corpus, "--jsonl")) == expected
    done = command("rerank", RERANKER, "a lamp", "--top-k", 2, stdin="\n".join(TEXTS))
    assert [line.split("\t")[1] for line in done.out.splitlines()] == [str(hit["corpus_id"]) for hit in expected[:2]]
    assert command("rerank", RERANKER, "a lamp").out == ""
    labels = DATA / "rerank" / "rerank-bert-3-labels" / "model"
    assert "num_labels" in command("rerank", labels, "a", corpus).error


# mine and cluster


def test_mine(command, corpus: Path, model: Model) -> None:
    pairs = util.paraphrase_mining(model, TEXTS)
    mined = lines(command("mine", MODEL, corpus, "--jsonl"))
    assert [[pair["score"], *pair["ids"]] for pair in mined] == pairs
    assert (mined[0]["ids"], mined[0]["texts"]) == ([0, 4], [TEXTS[0], TEXTS[4]])
    threshold = pairs[9][0]
    assert lines(command("mine", MODEL, corpus, "--jsonl", "--threshold", threshold)) == mined[:10]
    assert lines(command("mine", MODEL, corpus, "--jsonl", "--max-pairs", 5)) == mined[:5]
    assert command("mine", MODEL, corpus, "--max-pairs", 1).out == "1.0000\tA small lamp.\tA small lamp.\n"
    expected = util.paraphrase_mining(model, TEXTS, top_k=1, score_function="euclidean")
    few = lines(command("mine", MODEL, corpus, "--jsonl", "--top-k", 1, "--similarity", "euclidean"))
    assert [[pair["score"], *pair["ids"]] for pair in few] == expected
    assert command("mine", MODEL, stdin="").out == ""


def test_cluster(command, corpus: Path, model: Model) -> None:
    expected = util.community_detection(model.encode(TEXTS), 0.9, 2)
    words = ["cluster", MODEL, corpus, "--threshold", 0.9, "--min-size", 2]
    found = lines(command(*words, "--jsonl"))
    assert [group["ids"] for group in found] == expected
    assert [group["texts"] for group in found] == [[TEXTS[i] for i in ids] for ids in expected]
    out = command(*words).out.splitlines()
    assert out[0] == f"group 1: {len(expected[0])} texts"
    assert out[1] == f"  {TEXTS[expected[0][0]]}"
    assert command("cluster", MODEL, corpus).out == ""
    for bad in ("nan", "inf", "a lot"):
        assert f"must be a number, got {bad!r}" in command("cluster", MODEL, corpus, "--threshold", bad).err


# The examples of the help texts


def examples() -> list[str]:
    texts = [parser._EPILOG, *(command().epilog for command in parser.COMMANDS.values())]
    return [line.strip() for text in texts for line in text.splitlines() if line.startswith("  ")]


@pytest.mark.skipif(os.name == "nt" or shutil.which("bash") is None, reason="they are lines of a shell")
@pytest.mark.parametrize("line", examples())
def test_example(line: str, corpus: Path, tmp_path: Path) -> None:
    if ".parquet" in line:
        pytest.importorskip("pyarrow")
    for name in ("a.txt", "b.txt", "queries.txt"):
        shutil.copy(corpus, tmp_path / name)
    np.save(tmp_path / "corpus.npy", Model(MODEL).encode(TEXTS))
    np.save(tmp_path / "bits.npy", Model(MODEL).encode(TEXTS, precision="ubinary"))
    (tmp_path / "corpus.csv").write_text("title\nlamp\nlantern\n")
    (tmp_path / "corpus.jsonl").write_text('{"body": "lamp"}\n')
    if "in/*.jsonl.gz" in line:
        pytest.importorskip("pyarrow")
        (tmp_path / "in").mkdir()
        (tmp_path / "in/a.jsonl.gz").write_bytes(gzip.compress(b'{"text": "lamp"}\n'))
    (tmp_path / "pairs.tsv").write_text("sentence1\tsentence2\tscore\nlamp\tlantern\t4\nlamp\tsea\t1\nlight\ttown\t2\n")
    (tmp_path / "scifact/qrels").mkdir(parents=True)
    (tmp_path / "scifact/queries.jsonl").write_text('{"_id": "q", "text": "lamp"}\n{"_id": "r", "text": "sea"}\n')
    (tmp_path / "scifact/corpus.jsonl").write_text('{"_id": "a", "text": "lantern"}\n{"_id": "b", "text": "sea"}\n')
    (tmp_path / "scifact/qrels/test.tsv").write_text("query-id\tcorpus-id\tscore\nq\ta\t1\nr\tb\t1\n")
    if "rushlight evaluate" in line:
        pytest.importorskip("sklearn")
        pytest.importorskip("matplotlib")
    photos = DATA / "tiny/clip-transformer/images"
    if "photos" in line:
        (tmp_path / "photos").mkdir()
        for name in ("rgb.png", "q90.jpg"):
            shutil.copy(photos / name, tmp_path / "photos")
    if "--engine" in line:
        pytest.skip("make test-integrations runs it")
    line = line.replace("corpus.jsonl", "out.jsonl") if "--kind" in line else line
    for made in ("-o corpus.npy", "-o bits.npy"):
        line = line.replace(made, f"{made} --force")
    names = {"cross-encoder/": "", "ms-marco-MiniLM-L6-v2": RERANKER, "all-MiniLM-L6-v2": MODEL}
    names["naver/splade-v3"] = DATA / "sparse/splade-bert-max/model"
    names |= {"BAAI/bge-m3": DATA / "hybrid/bgem3-heads/model", "all-mpnet-base-v2": MODEL}
    names["clip-ViT-B-32"] = DATA / "tiny/clip-transformer/model"
    for name, place in names.items():
        line = line.replace(name, str(place))
    shell = f'rushlight() {{ {shlex.join(PROGRAM)} "$@"; }}; {line}'
    done = subprocess.run(["bash", "-c", shell], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout or " -o " in line or line.startswith("rushlight cluster")


def test_stdin_is_not_two_things_and_an_npz_is_no_npy(command, tmp_path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((1, 32), np.float32))
    done = command("search", MODEL, tmp_path / "a.npy", "--texts", "-", stdin="a")
    assert "can't be both --texts and the queries" in done.error
    with (tmp_path / "b.npy").open("wb") as file:
        np.savez(file, a=np.zeros(3))
    assert "b.npy: must be an npy: " in command("search", MODEL, tmp_path / "b.npy", "query").error
    pytest.importorskip("pyarrow")
    (tmp_path / "a.txt").write_text("a")
    (tmp_path / "empty.txt").write_text("")
    words = ["--files", tmp_path / "a.txt", tmp_path / "empty.txt", "-o", tmp_path / "s.parquet"]
    assert "parquet has no rows without numbers" in command("similarity", MODEL, *words).error
