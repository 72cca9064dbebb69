"""`task=`: models with an adapter for each task."""

from __future__ import annotations

import asyncio
import copy
import pickle

import numpy as np
import pytest
from cases import tiny

from rushlight import Model
from rushlight.compat import SentenceTransformer
from rushlight.exceptions import InvalidArgumentError

CASE = tiny("jina-v3-lora")
TASKS = ["retrieval.query", "retrieval.passage", "separation", "classification", "text-matching"]
TEXTS = CASE.texts


@pytest.fixture(scope="module")
def model():
    return Model(CASE.model)


@pytest.mark.parametrize("task", TASKS)
def test_every_task_gives_the_references_numbers(model, task):
    expected = np.load(CASE.folder / f"expected64_task_{task}.npy")
    for kind in (model, SentenceTransformer(str(CASE.model))):
        embeddings = kind.encode(TEXTS, task=task, prompt_name=task)
        assert np.abs(embeddings - expected).max() < 1e-5


def test_tasks_are_listed_and_checked(model):
    assert model.tasks == TASKS
    assert Model(tiny("bert-mean-normalize").model).tasks == []
    with pytest.raises(InvalidArgumentError, match=r'task: no task "query"; there are "retrieval.query"'):
        model.encode("x", task="query")
    with pytest.raises(InvalidArgumentError, match="task: must be a str"):
        model.encode("x", task=1)
    with pytest.raises(InvalidArgumentError, match="the model has none"):
        Model(tiny("bert-mean-normalize").model).encode("x", task="separation")


def test_roles_take_their_tasks_and_prompts(model):
    query = model.encode(TEXTS, task="retrieval.query", prompt_name="retrieval.query")
    passage = model.encode(TEXTS, task="retrieval.passage", prompt_name="retrieval.passage")
    for kind in (model, SentenceTransformer(str(CASE.model))):
        assert np.array_equal(kind.encode_query(TEXTS), query)
        assert np.array_equal(kind.encode_document(TEXTS), passage)
    assert np.array_equal(model.encode(TEXTS, role="query"), query)
    plain = model.encode(TEXTS, task="retrieval.query")
    assert np.array_equal(model.encode_query(TEXTS, prompt=""), plain)
    assert not np.array_equal(plain, query)
    separation = model.encode(TEXTS, task="separation")
    assert np.array_equal(model.encode_query(TEXTS, task="separation"), separation)


def test_all_ways_to_encode_take_a_task(model):
    separation = model.encode(TEXTS, task="separation")
    assert np.array_equal(np.concatenate(list(model.encode_iter(TEXTS, chunk_size=7, task="separation"))), separation)
    assert np.array_equal(asyncio.run(model.encode_async(TEXTS, task="separation")), separation)
    assert np.array_equal(model.encode(TEXTS, task="separation", device=["cpu", "cpu"]), separation)
    chunks = model.encode_chunks(["one two"], task="separation")
    assert np.array_equal(chunks[0][0], model.encode("one two", task="separation"))
    # The prompt of a task takes part of each chunk.
    ends = [model.chunk("word " * 300, role="query", task=task)[0][2] for task in (None, "separation")]
    assert ends[0] < ends[1]


def test_copies_and_saved_models_have_the_tasks(model, tmp_path):
    separation = model.encode(TEXTS, task="separation")
    model.save_pretrained(tmp_path)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model)), Model(tmp_path)):
        assert np.array_equal(other.encode(TEXTS, task="separation"), separation)


def test_compat_knows_roles_and_tasks():
    model = SentenceTransformer(str(CASE.model))
    assert model.get_model_kwargs() == ["task"]
    with pytest.raises(
        InvalidArgumentError, match=r"task: must be one of None, 'query', 'document', 'retrieval\.query'"
    ):
        model.encode(TEXTS, task="clustering")
    assert np.array_equal(model.encode(TEXTS, task="query"), model.encode(TEXTS, task="retrieval.query"))


def test_the_command_line_takes_a_task(command, model, tmp_path):
    out = tmp_path / "out.npy"
    command("encode", CASE.model, "-o", out, "--task", "separation", stdin="one\ntwo\n")
    assert np.array_equal(np.load(out), model.encode(["one", "two"], task="separation"))
