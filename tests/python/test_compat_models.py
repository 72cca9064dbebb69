"""`rushlight.compat`'s models where torch is not installed, kind by kind: what they return."""

from __future__ import annotations

import json
import logging
import shutil
import sys

import numpy as np
import pytest
from cases import DATA, tiny

from rushlight import Model, MultiVectorModel, Reranker, SparseEmbeddings, SparseModel
from rushlight.compat import (
    CrossEncoder,
    MultiVectorEncoder,
    SentenceTransformer,
    SimilarityFunction,
    SparseEncoder,
    util,
)
from rushlight.compat.multi_vector_encoder.modules import HierarchicalTokenPooling, LambdaTokenPooling
from rushlight.exceptions import (
    DeviceError,
    InferenceError,
    InvalidArgumentError,
    InvalidInputError,
    MissingDependencyError,
    UnsupportedModelError,
)
from rushlight.util import normalize_embeddings

TEXTS = ["one text", "another, longer text", "one text"]
PAIRS = [("a query", "a document"), ("a query", "another one"), ("b", "")]
FOLDERS = {
    SentenceTransformer: tiny("bert-cls-normalize-prompts").model,
    CrossEncoder: DATA / "rerank" / "rerank-bert" / "model",
    SparseEncoder: DATA / "sparse" / "splade-bert-max" / "model",
    MultiVectorEncoder: DATA / "multi_vector" / "multivector-native-bert" / "model",
}


@pytest.fixture(autouse=True)
def no_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)


@pytest.fixture
def model() -> SentenceTransformer:
    return SentenceTransformer(FOLDERS[SentenceTransformer])


# Sentence embeddings


def test_results_are_those_of_model(model):
    plain = Model(FOLDERS[SentenceTransformer])
    assert isinstance(model, Model)
    for method in ("encode", "encode_query", "encode_document"):
        expected = getattr(plain, method)(TEXTS)
        assert np.array_equal(getattr(model, method)(TEXTS), expected)
        assert np.array_equal(getattr(model, method)(TEXTS[0]), expected[0])
    for task in ("query", "document"):
        assert np.array_equal(model.encode(TEXTS, task=task, prompt="x"), plain.encode(TEXTS, prompt="x"))
    embeddings = plain.encode(TEXTS)
    assert np.array_equal(model.similarity(embeddings, embeddings), plain.similarity(embeddings, embeddings))
    assert np.array_equal(
        model.similarity_pairwise(embeddings, embeddings), plain.similarity_pairwise(embeddings, embeddings)
    )
    expected = plain.tokenize(TEXTS)
    for tokens in (model.tokenize(TEXTS), model.preprocess(TEXTS)):
        assert {name: rows.tolist() for name, rows in tokens.items()} == {k: v.tolist() for k, v in expected.items()}


def test_arguments_go_by_position(model):
    plain = Model(FOLDERS[SentenceTransformer])
    expected = plain.encode(TEXTS, prompt="x ", precision="ubinary")
    for method in (model.encode, model.encode_query, model.encode_document):
        positional = method(TEXTS, None, "x ", 2, False, "sentence_embedding", "ubinary", True, False, "cpu")
        assert np.array_equal(positional, expected)
    with model.start_multi_process_pool(["cpu", "cpu"]) as pool:
        pooled = model.encode_multi_process(TEXTS, pool, None, "x ", 32, 1, False, "ubinary")
    assert np.array_equal(pooled, expected)


def test_what_rushlight_has_beside_is_taken_too(model):
    out = np.empty((3, model.get_embedding_dimension()), dtype=np.float32)
    assert model.encode(TEXTS, out=out, truncation="error") is out
    with pytest.raises(TypeError, match="unexpected keyword argument 'tone'"):
        model.encode(TEXTS, tone="high")
    with pytest.raises(TypeError):
        model.encode_query(TEXTS, tone="high")


def test_tensors_need_torch_only_where_they_are_asked_for(model):
    for options in ({"convert_to_tensor": True}, {"convert_to_numpy": False}):
        with pytest.raises(MissingDependencyError, match="pip install torch"):
            model.encode(TEXTS, **options)
    tokens = model.encode(TEXTS, output_value="token_embeddings")
    assert [type(row) for row in tokens] == [np.ndarray] * 3
    assert isinstance(model.encode(TEXTS[0], output_value=None)["sentence_embedding"], np.ndarray)
    assert (model.device, model.dtype) == ("cpu", "float32")


def test_token_embeddings_are_computed_by_pools_and_kept_in_fewer_bits(model):
    expected = model.encode(TEXTS, output_value="token_embeddings")
    with model.start_multi_process_pool(["cpu", "cpu"]) as pool:
        for options in ({"pool": pool, "chunk_size": 1}, {"device": ["cpu", "cpu"]}, {"device": "cpu"}):
            tokens = model.encode(TEXTS, output_value="token_embeddings", **options)
            assert all(np.array_equal(one, two) for one, two in zip(tokens, expected, strict=True))
    with pytest.raises(DeviceError, match="'cuda': this model is on 'cpu'"):
        model.encode(TEXTS, output_value="token_embeddings", device="cuda")
    for precision in ("int8", "uint8", "binary", "ubinary"):
        tokens = model.encode(TEXTS, output_value="token_embeddings", precision=precision)
        whole = util.quantize_embeddings(np.concatenate(expected), precision)
        assert np.array_equal(np.concatenate(tokens), whole)
        single = model.encode(TEXTS[0], output_value="token_embeddings", precision=precision)
        assert np.array_equal(single, util.quantize_embeddings(expected[0], precision))
        assert model.encode([], output_value="token_embeddings", precision=precision) == []
    for output_value, precision in (("token_embeddings", "int4"), (None, "int8")):
        with pytest.raises(InvalidArgumentError, match=f"precision: .*{precision}"):
            model.encode(TEXTS, output_value=output_value, precision=precision)


def test_all_of_a_text_is_not_normalized_but_cut():
    model = SentenceTransformer(tiny("bert-lasttoken").model)
    whole = model.encode(TEXTS[0])
    assert abs(np.linalg.norm(whole) - 1) > 0.1
    for normalize in (False, True):
        given = model.encode(TEXTS[0], output_value=None, normalize_embeddings=normalize, truncate_dim=4)
        assert np.array_equal(given["sentence_embedding"], whole[:4])


def test_a_column_of_a_table_is_a_batch(model):
    pandas = pytest.importorskip("pandas")
    column = pandas.Series(TEXTS, index=[7, 8, 9])
    assert np.array_equal(model.encode(column), model.encode(TEXTS))
    with pytest.raises(InvalidInputError, match=r"inputs\[1\]: must be a str, got a null"):
        model.encode(pandas.Series(["a", float("nan")], dtype=object))


def test_older_names_are_taken_and_logged(model, caplog):
    assert np.array_equal(model.encode(sentences=TEXTS), model.encode(TEXTS))
    assert np.array_equal(model.encode_query(sentences=TEXTS), model.encode_query(TEXTS))
    assert caplog.messages == ["sentences is now called inputs"] * 2
    with pytest.raises(InvalidArgumentError, match="sentences: it is now called inputs, which is given, too"):
        model.encode(sentences=TEXTS, inputs=TEXTS)
    assert model.get_max_seq_length() == model.max_seq_length
    with model.truncate_sentence_embeddings(3):
        assert model.encode("a").shape == (3,)
    assert SentenceTransformer.load(FOLDERS[SentenceTransformer]).encode("a").shape == model.encode("a").shape
    with pytest.warns(FutureWarning, match="token"):
        SentenceTransformer(FOLDERS[SentenceTransformer], use_auth_token=False)
    with pytest.warns(FutureWarning), pytest.raises(InvalidArgumentError, match="use_auth_token"):
        SentenceTransformer(FOLDERS[SentenceTransformer], token="x", use_auth_token="x")


def test_tokens(model):
    tokens = model.preprocess(["text"], prompt="one ", task="query", processing_kwargs=None)
    assert tokens["input_ids"].tolist() == model.tokenize(["one text"])["input_ids"].tolist()
    pair = model.preprocess([("text", "b")], prompt="one ")
    assert pair["input_ids"].tolist() == model.tokenize([("one text", "b")])["input_ids"].tolist()
    left = SentenceTransformer(FOLDERS[SentenceTransformer], tokenizer_kwargs={"padding_side": "left"})
    for name, rows in left.tokenize(TEXTS).items():
        for row, mask, other in zip(
            rows, left.tokenize(TEXTS)["attention_mask"], model.tokenize(TEXTS)[name], strict=True
        ):
            count = mask.sum()
            assert mask.tolist() == [0] * (len(mask) - count) + [1] * count
            assert row[-count:].tolist() == other[:count].tolist()
    assert np.array_equal(left.encode(TEXTS), model.encode(TEXTS))


def test_similarity_functions_by_their_enum(model):
    model.similarity_fn_name = SimilarityFunction.DOT_PRODUCT
    assert (type(model.similarity_fn_name), f"{model.similarity_fn_name}") == (str, "dot")
    model = SentenceTransformer(FOLDERS[SentenceTransformer], similarity_fn_name=SimilarityFunction.EUCLIDEAN)
    assert model.similarity([[0.0, 3.0]], [[4.0, 0.0]]).tolist() == [[-5.0]]
    with pytest.raises(InvalidArgumentError, match="similarity_fn_name"):
        model.similarity_fn_name = SimilarityFunction.MAXSIM


@pytest.mark.parametrize(
    ("kind", "set_to", "default"),
    [
        (SentenceTransformer, "dot", "cosine"),
        (SparseEncoder, "cosine", "dot"),
        (MultiVectorEncoder, "meanmaxsim", "maxsim"),
    ],
)
def test_similarity_functions_of_none_are_the_default_of_the_kind(kind, set_to, default):
    model = kind(FOLDERS[kind], similarity_fn_name=SimilarityFunction(set_to))
    assert (type(model.similarity_fn_name), model.similarity_fn_name) == (str, set_to)
    model.similarity_fn_name = None
    assert model.similarity_fn_name == default


def test_single_embeddings_have_a_single_score(model):
    sparse = SparseEncoder(FOLDERS[SparseEncoder])
    for kind, embeddings in [
        (model, model.encode(TEXTS)),
        (sparse, sparse.encode(TEXTS)),
        (sparse, sparse.encode(TEXTS, convert_to_sparse_tensor=False)),
    ]:
        scores = kind.similarity_pairwise(embeddings[:1], embeddings[1:2])
        score = kind.similarity_pairwise(embeddings[0], embeddings[1])
        assert (scores.shape, score.shape, score.dtype) == ((1,), (), np.float32)
        assert score.item() == scores[0]


# Cross-encoders


def test_cross_encoders(caplog):
    plain, model = Reranker(FOLDERS[CrossEncoder]), CrossEncoder(FOLDERS[CrossEncoder], 1, 20, None, "cpu")
    assert caplog.messages == [
        f"{name} is now given by name" for name in ("num_labels", "max_length", "activation_fn", "device")
    ]
    assert model.max_seq_length == 20
    model.max_seq_length = plain.max_length
    assert np.array_equal(model.predict(PAIRS), plain.predict(PAIRS))
    assert np.array_equal(model.predict(np.array(PAIRS), None, "x"), plain.predict(PAIRS, prompt="x"))
    single = model.predict(PAIRS[0])
    assert isinstance(single, np.float32)
    assert single == model.predict(list(PAIRS[0])) == model.predict(np.array(PAIRS[0])) == plain.predict(PAIRS[0])
    logits = plain.predict(PAIRS, activation_fn="identity")
    assert np.array_equal(model.predict(PAIRS, activation_fn=lambda x: 2 * x), 2 * logits)
    model.activation_fn = lambda x: -x
    assert np.array_equal(model.predict(PAIRS, num_workers=2), -logits)
    assert model.default_activation_function is model.activation_fn
    assert model.get_default_activation_fn() == "sigmoid"
    documents = [b for _, b in PAIRS]
    ranked = model.rank("a query", documents, 2, True, None, "x", 8, False, "identity", "cpu", None, 5)
    assert ranked == plain.rank(
        "a query", documents, top_k=2, return_documents=True, prompt="x", activation_fn="identity"
    )
    assert model.rank("a query", documents, apply_softmax=True, convert_to_tensor=True) == model.rank(
        "a query", documents
    )
    assert model.rank("a query", documents, top_k=0) == []
    with pytest.raises(InvalidArgumentError, match="top_k: must be at least 0, got -1"):
        model.rank("a query", documents, top_k=-1)
    model.set_keep_in_fp32_modules(["classifier"])
    with pytest.raises(InvalidArgumentError, match="num_labels: this model has 1, got 3"):
        CrossEncoder(FOLDERS[CrossEncoder], num_labels=3)
    for options in ({"convert_to_tensor": True}, {"convert_to_numpy": False}):
        with pytest.raises(MissingDependencyError):
            model.predict(PAIRS, **options)
    with pytest.raises(InvalidInputError, match="must be a pair of str"):
        model.predict("a text")


def test_a_callable_counts_in_place_of_the_folders_activation(tmp_path):
    place = tmp_path / "model"
    shutil.copytree(FOLDERS[CrossEncoder], place, copy_function=shutil.copyfile)
    settings = place / "config_sentence_transformers.json"
    said = json.loads(settings.read_text(encoding="utf-8"))
    settings.write_text(json.dumps({**said, "activation_fn": "mypackage.Own"}), encoding="utf-8")
    with pytest.raises(UnsupportedModelError, match=r"mypackage\.Own"):
        CrossEncoder(place)
    model = CrossEncoder(place, activation_fn=lambda x: -x)
    assert np.array_equal(model.predict(PAIRS), -model.predict(PAIRS, activation_fn="identity"))
    with pytest.raises(UnsupportedModelError, match=r"mypackage\.Own"):
        model.get_default_activation_fn()
    model.activation_fn = "tanh"
    logits = model.predict(PAIRS, activation_fn="identity")
    np.testing.assert_allclose(model.predict(PAIRS), np.tanh(logits), atol=1e-7)


def test_rows_of_a_table_are_pairs():
    pandas = pytest.importorskip("pandas")
    model = CrossEncoder(FOLDERS[CrossEncoder])
    frame = pandas.DataFrame(PAIRS, columns=["query", "document"])
    assert np.array_equal(model.predict(frame), model.predict(PAIRS))
    assert np.array_equal(model.predict(pandas.Series(PAIRS)), model.predict(PAIRS))


def test_older_names_of_the_constructor(caplog):
    CrossEncoder(
        model_name=FOLDERS[CrossEncoder],
        automodel_args={},
        tokenizer_args={},
        config_args={},
        cache_dir=None,
        default_activation_function="identity",
    )
    assert caplog.messages[0] == "model_name is now called model_name_or_path"
    assert len(caplog.messages) == 6


# Sparse embeddings


def test_sparse_embeddings_stand_for_sparse_tensors():
    plain, model = SparseModel(FOLDERS[SparseEncoder]), SparseEncoder(FOLDERS[SparseEncoder])
    embeddings = model.encode(TEXTS, None, None, 32, False)
    assert embeddings == plain.encode(TEXTS)
    assert model.encode_query(TEXTS, None, "x") == plain.encode_query(TEXTS, prompt="x")
    assert model.encode_document(TEXTS, max_active_dims=3) == plain.encode_document(TEXTS, max_active_dims=3)
    assert model.encode(TEXTS, task="query", prompt="x") == plain.encode_query(TEXTS, prompt="x")
    assert model.encode(TEXTS[0]) == embeddings[0]
    assert model.encode(TEXTS, convert_to_tensor=False) == list(embeddings)
    dense = model.encode(TEXTS, convert_to_sparse_tensor=False)
    assert np.array_equal(dense, embeddings.to_dense())
    assert np.array_equal(model.encode(TEXTS[0], convert_to_sparse_tensor=False), dense[0])
    assert model.decode(embeddings, 2) == model.decode(dense, 2) == plain.decode(embeddings, 2)
    assert model.decode(dense[0], 2) == plain.decode(embeddings, 2)[0]
    for single in (
        embeddings[0],
        embeddings[-3],
        model.encode(TEXTS[0]),
        model.encode(TEXTS, convert_to_tensor=False)[0],
    ):
        assert model.decode(single, 2) == plain.decode(embeddings, 2)[0]
    assert model.decode(embeddings[:1], 2) == plain.decode(embeddings, 2)[:1]
    assert model.sparsity(dense) == plain.sparsity(embeddings)
    scores = plain.similarity(embeddings, embeddings)
    assert np.array_equal(model.similarity(dense, embeddings), scores)
    assert np.array_equal(model.similarity_pairwise(dense, embeddings), np.diag(scores))
    assert model.similarity_pairwise(embeddings[:0], embeddings[:0]).shape == (0,)
    shared = model.intersection(embeddings[0], embeddings)
    assert np.array_equal(shared.to_dense(), dense * dense[0])
    assert isinstance(model.intersection(dense[0], dense[1]), SparseEmbeddings)
    assert model.get_sentence_embedding_dimension() == model.get_embedding_dimension()
    for one, two, said in [
        (embeddings, embeddings[:1], "embeddings2: must have as many rows as embeddings1, 3, got 1"),
        ("text", embeddings, "embeddings1: must be an array"),
    ]:
        with pytest.raises(InvalidArgumentError, match=said):
            model.similarity_pairwise(one, two)
    with pytest.raises(InvalidArgumentError, match="embeddings_1: must be one of"):
        model.intersection(embeddings, embeddings)


# A vector for each token


def test_late_interaction():
    plain, model = MultiVectorModel(FOLDERS[MultiVectorEncoder]), MultiVectorEncoder(FOLDERS[MultiVectorEncoder])
    queries, documents = plain.encode_query(TEXTS), plain.encode_document(TEXTS)

    def equal(one, two):
        return all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))

    assert equal(model.encode_query(TEXTS, None, None, 2, False, "token_embeddings", True), queries)
    assert equal(model.encode_document(TEXTS), documents)
    assert np.array_equal(model.encode_query(TEXTS[0]), queries[0])
    assert equal(model.encode(TEXTS, prompt="x"), plain.encode_document(TEXTS, prompt="x"))
    assert equal(model.encode(TEXTS, prompt="x", task="query"), plain.encode_query(TEXTS, prompt="x"))
    assert np.array_equal(model.encode(TEXTS[0], normalize_embeddings=True), model.encode(TEXTS[:1])[0])
    assert np.array_equal(model.similarity(queries, documents), plain.similarity(queries, documents))
    pairs = plain.similarity_pairwise(queries, documents)
    assert np.array_equal(model.similarity_pairwise(queries, documents), pairs)
    lengths = [len(query) for query in queries]
    mean = model.similarity_pairwise(queries, documents, length_normalize=True)
    np.testing.assert_allclose(mean, pairs / lengths, rtol=1e-6)
    for options, said in [
        ({"output_value": "sentence_embedding"}, "output_value"),
        ({"token_pooling": object()}, "token_pooling"),
    ]:
        with pytest.raises(InvalidArgumentError, match=said):
            model.encode_query(TEXTS, **options)
    with pytest.raises(TypeError, match="convert_to_tensor"):
        model.encode_query(TEXTS, convert_to_tensor=True)
    with pytest.raises(TypeError, match="task"):
        model.encode_query(TEXTS, task="query", unheard=1)
    model.close()
    for method in (model.similarity, model.similarity_pairwise):
        with pytest.raises(InferenceError, match="closed"):
            method(queries, documents)


def test_all_of_a_text_with_a_vector_per_token():
    model = MultiVectorEncoder(FOLDERS[MultiVectorEncoder])
    for task in ("query", "document"):
        vectors = model.encode(TEXTS, task=task)
        features = model.encode(TEXTS, task=task, output_value=None, convert_to_numpy=True)
        for one, expected in zip(features, vectors, strict=True):
            assert np.array_equal(one["token_embeddings"], expected)
            assert one["attention_mask"].tolist() == [1] * len(expected)
            assert one["modality"] == "text"
            assert "prompt_length" not in one
    prompted = model.encode(TEXTS[0], prompt="a ", output_value=None)
    expected = model.tokenize(["a one text"])["input_ids"][0]
    assert np.array_equal(prompted["input_ids"], expected)
    assert prompted["prompt_length"] == len(model.tokenizer("a ")["input_ids"]) - 1
    with pytest.raises(InvalidArgumentError, match="output_value"):
        model.encode(TEXTS, output_value="sentence_embedding")


def test_vectors_of_documents_are_pooled_by_clusters():
    pytest.importorskip("scipy")
    near = np.array([[1, 0, 0], [0, 1, 0], [0.1, 1, 0], [0, 0, 1], [0, 0.1, 1]], dtype=np.float32)
    near = normalize_embeddings(near)
    pooled = HierarchicalTokenPooling(2, normalize_embeddings=False).pool([near])[0]
    np.testing.assert_allclose(pooled[0], near[0])
    assert {tuple(row) for row in pooled[1:].round(5)} == {
        tuple(near[rows].mean(axis=0).round(5)) for rows in ([1, 2], [3, 4])
    }
    unit = HierarchicalTokenPooling(2).pool([near])[0]
    np.testing.assert_allclose(unit, normalize_embeddings(pooled), rtol=1e-6)
    assert np.array_equal(HierarchicalTokenPooling(normalize_embeddings=False).pool([near])[0], near)
    assert np.array_equal(HierarchicalTokenPooling(100, num_protected_tokens=5).pool([near])[0], near)
    queries = [near]
    assert HierarchicalTokenPooling(2).pool(queries, task="query") is queries
    assert len(HierarchicalTokenPooling(2, tasks=["query"]).pool(queries, task="query")[0]) == 3
    for side, start in (("right", 0), ("left", 2)):
        padded = np.zeros((2, 7, 3), np.float32)
        padded[0, start : start + 5], padded[1, start] = near, near[0]
        result = HierarchicalTokenPooling(2, normalize_embeddings=False).pool(padded, padding_side=side)
        assert result.shape[0] == 2
        np.testing.assert_allclose(result[0, :3] if side == "right" else result[0, -3:], pooled)
        mask = padded.any(axis=2)
        masked = HierarchicalTokenPooling(2, normalize_embeddings=False).pool(padded, attention_mask=mask)
        np.testing.assert_allclose(masked[0, :3], pooled)
    model = MultiVectorEncoder(FOLDERS[MultiVectorEncoder])
    vectors = model.encode_document(TEXTS)
    firsts = model.encode_document(TEXTS, token_pooling=LambdaTokenPooling(lambda rows: rows[:1]))
    assert all(np.array_equal(first, rows[:1]) for first, rows in zip(firsts, vectors, strict=True))
    for wrong in ({"pool_factor": 0.5}, {"num_protected_tokens": -1}):
        with pytest.raises(InvalidArgumentError, match=next(iter(wrong))):
            HierarchicalTokenPooling(**wrong)
    for wrong in (near, [near[0]], near[None, None]):
        with pytest.raises(InvalidArgumentError, match="embeddings"):
            HierarchicalTokenPooling(2).pool(wrong)


def test_messages_go_to_rushlights_logger(model, caplog):
    with caplog.at_level(logging.WARNING, logger="rushlight"):
        model.encode(sentences=["a"])
    assert [record.name for record in caplog.records] == ["rushlight"]
