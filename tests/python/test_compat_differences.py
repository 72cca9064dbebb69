"""Calls that others' code makes to sentence-transformers, beyond embedding."""

from __future__ import annotations

import functools
import http.server
import json
import logging
import threading

import numpy as np
import pytest
from cases import DATA, tiny

from rushlight import Model
from rushlight import util as plain
from rushlight.compat import (
    CrossEncoder,
    MultiVectorEncoder,
    SentenceTransformer,
    SparseEncoder,
    models,
    sparse_encoder,
    util,
)
from rushlight.exceptions import (
    DownloadError,
    InvalidArgumentError,
    InvalidInputError,
    MissingDependencyError,
    UnsupportedFeatureError,
)

DENSE = tiny("bert-mean-normalize").model
RERANKER = DATA / "rerank/rerank-bert/model"
SPARSE = DATA / "sparse/splade-bert-max/model"
VECTORS = DATA / "multi_vector/multivector-native-bert/model"
TEXTS = ["red lamp", "river stone", "garden", "bread train music"]


def test_names_of_kinds_and_of_similarities():
    for kind in (SentenceTransformer, CrossEncoder, SparseEncoder, MultiVectorEncoder):
        assert kind.model_type == kind.__name__
    assert SparseEncoder.SUPPORTED_SIMILARITY_FN_NAMES == ("cosine", "dot", "euclidean", "manhattan")
    assert MultiVectorEncoder.SUPPORTED_SIMILARITY_FN_NAMES == ("maxsim", "meanmaxsim")
    card = SentenceTransformer(DENSE).model_card_data
    assert (card.model_name, card.base_model, card.base_model_revision) == (None, None, None)


def test_activations_can_be_called():
    model = CrossEncoder(RERANKER)
    assert model.activation_fn == "sigmoid"
    logits = np.array([[-1.0], [2.0]], np.float32)
    assert np.allclose(model.activation_fn(logits), 1 / (1 + np.exp(-logits)))
    model.activation_fn = "identity"
    assert np.array_equal(model.activation_fn(logits), logits)
    model.activation_fn = "softmax"
    assert np.allclose(model.activation_fn(np.zeros((2, 4))), 0.25)
    model.activation_fn = abs
    assert model.activation_fn is abs


def test_limits_are_those_of_the_model_at_most():
    assert SentenceTransformer(DENSE, processor_kwargs={"model_max_length": 7}).max_seq_length == 7
    assert MultiVectorEncoder(VECTORS, processor_kwargs={"model_max_length": 7}).max_seq_length == 7
    bounded = CrossEncoder(RERANKER, max_length=10**6).max_length
    with pytest.raises(InvalidArgumentError, match=f"must be from 1 to {bounded}, got {bounded + 1}"):
        CrossEncoder(RERANKER).max_length = bounded + 1
    for limit in (1, 5, bounded - 1, bounded):
        assert CrossEncoder(RERANKER, max_length=limit).max_length == limit
    with pytest.raises(InvalidArgumentError, match="max_length: must be at least 1, got 0"):
        CrossEncoder(RERANKER, max_length=0)


def test_a_device_map_of_one_device():
    assert str(SentenceTransformer(DENSE, model_kwargs={"device_map": {"": "cpu"}}).device) == "cpu"


def test_settings_of_tokenizers_are_the_models():
    model = SentenceTransformer(DENSE)
    model.tokenizer.padding_side = "left"
    assert model.tokenizer.padding_side == "left"
    assert model.preprocess(["red", "red lamp room"])["attention_mask"][0, 0] == 0
    model.tokenizer.model_max_length = 4
    assert model.max_seq_length == 4
    assert model.tokenizer.vocab == model.tokenizer.get_vocab()


def test_all_values_of_texts_tell_the_modality_and_the_prompt():
    model = SentenceTransformer(DENSE)
    [values] = model.encode(["red lamp"], output_value=None)
    assert values["modality"] == "text"
    assert "prompt_length" not in values
    values = model.encode("red lamp", output_value=None, prompt="red lamp: ")
    assert values["prompt_length"] == len(model.tokenizer("red lamp: ")["input_ids"]) - 1


def test_vectors_of_tokens_are_pooled_by_an_object():
    class Mean:
        def pool(self, embeddings, *, task=None):
            return [rows.mean(0, keepdims=True) for rows in embeddings] if task != "query" else embeddings

    model = MultiVectorEncoder(VECTORS)
    whole = model.encode_document(TEXTS, convert_to_numpy=True)
    pooled = model.encode_document(TEXTS, convert_to_numpy=True, token_pooling=Mean())
    assert all(np.allclose(rows, each.mean(0, keepdims=True)) for rows, each in zip(pooled, whole, strict=True))
    assert model.encode_document(TEXTS[0], convert_to_numpy=True, token_pooling=Mean()).shape == (1, whole[0].shape[1])
    with pytest.raises(InvalidArgumentError, match="token_pooling: must have the method pool, got 3"):
        model.encode(TEXTS, token_pooling=3)


def test_empty_and_wrong_embeddings():
    assert util.quantize_embeddings([], "int8") == []
    with pytest.raises(TypeError, match="embeddings: must be an array or a tensor, got list"):
        SparseEncoder(SPARSE).decode([1, 2, 3])
    assert issubclass(InvalidInputError, TypeError)


def test_the_transformer_of_a_reranker_tells_its_name_and_settings():
    model = CrossEncoder(RERANKER)
    settings = json.loads((RERANKER / "config.json").read_text())
    assert model.model.name_or_path == model.config.name_or_path == str(RERANKER)
    assert model.config.to_dict() == settings
    assert model.config.hidden_size == settings["hidden_size"]
    assert (model.config.num_labels, model.config.id2label) == (model.num_labels, {0: "LABEL_0"})
    assert model.config.label2id == {"LABEL_0": 0}
    assert getattr(model.config, "_commit_hash", None) is None
    assert not hasattr(model.model, "get_input_embeddings")
    with pytest.raises(AttributeError, match=r"CrossEncoder\.model\.forward: a rushlight model is not a torch module"):
        model.model.forward()


# Modules


def test_modules_are_those_of_the_folder():
    model = SentenceTransformer(DENSE)
    assert [type(module) for module in model] == [models.Transformer, models.Pooling, models.Normalize]
    assert len(model) == 3
    assert model
    assert [name for name, _ in model.named_children()] == ["0", "1", "2"]
    first, pooling = model[0], model[1]
    first.max_seq_length = 5
    assert model.max_seq_length == first.max_seq_length == 5
    assert first.tokenizer("red")["input_ids"] == model.tokenizer("red")["input_ids"]
    assert (first.get_word_embedding_dimension(), pooling.get_sentence_embedding_dimension()) == (32, 32)
    assert (pooling.pooling_mode, pooling.pooling_mode_mean_tokens, pooling.pooling_mode_cls_token) == (
        "mean",
        True,
        False,
    )
    assert not isinstance(model[-1], models.StaticEmbedding)
    with pytest.raises(UnsupportedFeatureError, match=r"^Transformer\.auto_model: a rushlight model is not a torch"):
        first.auto_model  # noqa: B018
    assert not hasattr(first, "auto_model")
    with pytest.raises(IndexError):
        model[3]
    old = SentenceTransformer(tiny("legacy-bert-mean-normalize").model)
    assert old[1].get_pooling_mode_str() == "mean"
    assert [type(module).__name__ for module in SparseEncoder(SPARSE)] == ["MLMTransformer", "SpladePooling"]
    assert [type(module).__name__ for module in MultiVectorEncoder(VECTORS)] == [
        "Transformer",
        "Dense",
        "MultiVectorMask",
        "Normalize",
    ]
    assert [type(module).__name__ for module in CrossEncoder(RERANKER)] == ["Transformer"]
    assert isinstance(SentenceTransformer(DATA / "tiny/static-embedding/model")[0], models.StaticEmbedding)


def test_models_are_put_together_of_modules():
    folder = tiny("bert-cls-dense-normalize").model
    parts = [models.Transformer(folder, max_seq_length=9), models.Pooling(32, "cls")]
    dense = models.Dense.load(folder / "2_Dense")
    model = SentenceTransformer(modules=[*parts, dense, models.Normalize()], prompts={"query": "red "})
    expected = Model.from_backbone(folder, pooling="cls", dense=folder / "2_Dense", normalize=True, max_seq_length=9)
    assert np.array_equal(model.encode(TEXTS), expected.encode(TEXTS))
    assert np.array_equal(model.encode_query(TEXTS), expected.encode([f"red {text}" for text in TEXTS]))
    assert [type(module).__name__ for module in model] == ["Transformer", "Pooling", "Dense", "Normalize"]
    assert dense.out_features == 32
    with pytest.warns(FutureWarning, match="pooling_mode_cls_token, pooling_mode_mean_tokens: pooling_mode replaces"):
        flags = models.Pooling(word_embedding_dimension=32, pooling_mode_cls_token=True, pooling_mode_mean_tokens=False)
    alone = SentenceTransformer(modules=[models.Transformer(folder), flags])
    assert np.array_equal(alone.encode(TEXTS), Model.from_backbone(folder, pooling="cls").encode(TEXTS))
    with pytest.raises(UnsupportedFeatureError, match="Dense: rushlight has it in saved models"):
        models.Dense(32, 8)
    with pytest.raises(UnsupportedFeatureError, match=r"modules: must be a Transformer, a Pooling, .* got Pooling"):
        SentenceTransformer(modules=[parts[1]])
    with pytest.raises(InvalidArgumentError, match=r"pooling_mode: must be one of .* got 'middle'"):
        models.Pooling(32, "middle")
    with pytest.raises(TypeError, match="'mode'"):
        models.Pooling(32, mode="cls")


# util


def test_names_and_silence():
    assert util.fullname(SentenceTransformer) == "rushlight.compat._sentence_transformers.SentenceTransformer"
    assert util.fullname(3) == "int"
    assert util.import_from_string("collections.OrderedDict").__name__ == "OrderedDict"
    for path in ("collections", "collections.NoSuch", "no_such_module.X"):
        with pytest.raises(ImportError):
            util.import_from_string(path)
    assert util.similarity_fct_name(util.cos_sim) == "cos_sim"
    assert util.similarity_fct_name(functools.partial(util.maxsim, length_normalize=True)) == (
        "maxsim(length_normalize=True)"
    )
    assert util.similarity_fct_name(SentenceTransformer(DENSE).similarity) == "cos_sim"
    with util.disable_logging():
        assert not logging.getLogger("x").isEnabledFor(logging.CRITICAL)
    assert logging.getLogger("x").isEnabledFor(logging.CRITICAL)
    assert list(util.disabled_tqdm([1, 2])) == [1, 2]


def test_machine_and_packages():
    assert util.get_device_name() == "cpu"
    assert not util.check_package_availability("no-such-package", "x")
    assert not util.is_training_available()


def test_files_of_models(tmp_path):
    assert util.load_file_path(str(DENSE), "modules.json") == str(DENSE / "modules.json")
    assert util.load_file_path(str(DENSE), "config.json", "1_Pooling") == str(DENSE / "1_Pooling/config.json")
    assert util.load_file_path(str(DENSE), "absent.json") is None
    assert util.load_dir_path(str(DENSE), "1_Pooling") == str(DENSE / "1_Pooling")
    assert util.load_dir_path(str(DENSE), "absent") is None
    assert util.is_sentence_transformer_model(str(DENSE))
    assert not util.is_sentence_transformer_model(str(tmp_path))
    for path in ("../x", "/x", "a\0b"):
        with pytest.raises(InvalidArgumentError, match="path: must be relative"):
            util.load_file_path(str(DENSE), path)


def test_downloads_are_whole_or_absent(tmp_path):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if self.path == "/file" else 404)
            self.end_headers()
            self.wfile.write(b"content")

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        util.http_get(f"{url}/file", str(tmp_path / "new/file"))
        assert (tmp_path / "new/file").read_bytes() == b"content"
        with pytest.raises(DownloadError, match="404"):
            util.http_get(f"{url}/absent", str(tmp_path / "absent"))
        server.shutdown()
    assert [path.name for path in tmp_path.iterdir()] == ["new"]
    with pytest.raises(InvalidArgumentError, match="url: must begin with http"):
        util.http_get("file:///etc/hostname", str(tmp_path / "x"))


def test_sparse_matrices_and_counts():
    embeddings = SparseEncoder(SPARSE).encode(TEXTS)
    pytest.importorskip("scipy")
    assert util.to_scipy_coo(embeddings).shape == (4, embeddings.shape[1])
    counts = np.asarray(util.compute_count_vector(embeddings))
    assert np.array_equal(counts, np.count_nonzero(util.to_scipy_coo(embeddings).toarray(), axis=0))


@pytest.mark.parametrize(
    ("precision", "exact"),
    [("float32", True), ("uint8", True), ("ubinary", True), ("float32", False), ("ubinary", False)],
)
def test_search_by_faiss(precision, exact):
    pytest.importorskip("faiss")
    searched(util.semantic_search_faiss, precision, exact)


@pytest.mark.parametrize("precision", ["float32", "int8", "ubinary", "binary"])
def test_search_by_usearch(precision):
    pytest.importorskip("usearch")
    searched(util.semantic_search_usearch, precision, True)


def searched(search, precision: str, exact: bool) -> None:
    rng = np.random.default_rng(0)
    corpus = plain.normalize_embeddings(rng.normal(size=(60, 32)))
    queries = plain.normalize_embeddings(corpus[:5] + 0.02 * rng.normal(size=(5, 32)))
    ranges = np.vstack([corpus.min(axis=0), corpus.max(axis=0)])
    coded = plain.quantize_embeddings(corpus, precision, ranges if "int8" in precision else None)
    options = {"corpus_precision": precision, "top_k": 3, "exact": exact, "ranges": ranges, "rescore_multiplier": 10}
    hits, seconds, index = search(queries, coded, **options, output_index=True)
    assert seconds >= 0
    assert [found[0]["corpus_id"] for found in hits] == [0, 1, 2, 3, 4]
    assert search(queries, corpus_index=index, **options)[0] == hits
    if precision in ("int8", "uint8"):
        assert [found[0]["score"] for found in hits] == pytest.approx([1] * 5, abs=0.02)
    assert [len(found) for found in search(queries, coded[:2], **options)[0]] == [2] * 5  # fewer than top_k
    assert search(queries, coded[:0], **options)[0] == [[]] * 5
    with pytest.raises(InvalidArgumentError, match="give either corpus_embeddings or corpus_index"):
        search(queries, top_k=3)
    with pytest.raises(InvalidArgumentError, match="corpus_precision: must be one of"):
        search(queries, corpus, corpus_precision="int4")


# Search engines


class Engine:
    """Client of a search engine that holds documents of tokens, and scores by dot products."""

    def __init__(self, url):
        self.url, self.documents, self.indices = url, {}, self

    def create(self, index, body):
        assert body["mappings"]["properties"]["tokens"] == {"type": "rank_features"}

    def refresh(self, index):
        pass

    def search(self, index, body):
        wanted = body["query"].get("neural_sparse", {}).get("tokens", {}).get("query_tokens")
        if wanted is None:
            clauses = [clause["rank_feature"] for clause in body["query"]["bool"]["should"]]
            wanted = {clause["field"].removeprefix("tokens."): clause["boost"] for clause in clauses}
        scores = {i: sum(tokens.get(t, 0) * w for t, w in wanted.items()) for i, tokens in self.documents.items()}
        best = sorted(scores, key=lambda i: -scores[i])[: body["size"]]
        return {"hits": {"hits": [{"_id": i, "_score": scores[i]} for i in best]}}


@pytest.mark.parametrize(
    ("module", "kind", "function"),
    [
        ("elasticsearch", "Elasticsearch", "semantic_search_elasticsearch"),
        ("opensearchpy", "OpenSearch", "semantic_search_opensearch"),
    ],
)
def test_search_engines_of_documents(monkeypatch, module, kind, function):
    import sys
    import types

    client, helpers = types.ModuleType(module), types.ModuleType(f"{module}.helpers")
    setattr(client, kind, Engine)
    helpers.bulk = lambda engine, actions: engine.documents.update({a["_id"]: a["_source"]["tokens"] for a in actions})
    monkeypatch.setitem(sys.modules, module, client)
    monkeypatch.setitem(sys.modules, f"{module}.helpers", helpers)
    model = SparseEncoder(SPARSE, max_active_dims=20)
    corpus, queries = model.decode(model.encode(TEXTS)), model.decode(model.encode(TEXTS[:2]))
    search = getattr(sparse_encoder.search_engines, function)
    hits, seconds, index = search(queries, corpus, top_k=2, output_index=True)
    assert seconds >= 0
    assert [found[0]["corpus_id"] for found in hits] == [0, 1]
    assert search(queries, corpus_index=index, top_k=2)[0] == hits
    with pytest.raises(InvalidArgumentError, match="corpus_embeddings_decoded: give it or corpus_index"):
        search(queries)
    with pytest.raises(InvalidArgumentError, match=r"query_embeddings_decoded\[0\]: must be a list of tokens"):
        search([{"a": 1}], corpus)


def test_search_by_qdrant():
    qdrant = pytest.importorskip("qdrant_client")
    model = SparseEncoder(SPARSE)
    corpus = model.encode(TEXTS)
    search = functools.partial(sparse_encoder.search_engines.semantic_search_qdrant, model.encode(TEXTS[:2]), top_k=4)
    hits, _, index = search(corpus, location=":memory:", output_index=True)
    expected = util.semantic_search(model.encode(TEXTS[:2]), corpus, top_k=4, score_function=util.dot_score)
    for found, right in zip(hits, expected, strict=True):
        assert [hit["corpus_id"] for hit in found] == [hit["corpus_id"] for hit in right]
        assert [hit["score"] for hit in found] == pytest.approx([hit["score"] for hit in right], rel=1e-4)
    assert search(corpus_index=index)[0] == hits
    assert isinstance(index[0], qdrant.QdrantClient)


def test_missing_clients_are_named(monkeypatch):
    import sys

    for module, call in [
        ("faiss", lambda: util.semantic_search_faiss(np.ones((1, 8)), np.ones((1, 8)))),
        ("usearch.index", lambda: util.semantic_search_usearch(np.ones((1, 8)), np.ones((1, 8)))),
        ("seismic", lambda: sparse_encoder.search_engines.semantic_search_seismic([[]], [[]])),
        ("elasticsearch", lambda: sparse_encoder.search_engines.semantic_search_elasticsearch([[]], [[]])),
    ]:
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(MissingDependencyError, match="which is not installed: pip install"):
            call()
