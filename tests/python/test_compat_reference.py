"""Models of `rushlight.compat` beside those of sentence-transformers, where that is installed: the same results."""

from __future__ import annotations

import json
import shutil
from itertools import zip_longest

import numpy as np
import pytest
from cases import DATA, other, router, tiny

import rushlight
from rushlight import compat

theirs = pytest.importorskip("sentence_transformers")
torch = pytest.importorskip("torch")

pytestmark = pytest.mark.filterwarnings("ignore")  # of torch's and transformers' own

TEXTS = ["one text", "another, longer text than that", "", "one text"]
PAIRS = [("a query", "a document"), ("a query", "another document, a longer one"), ("b", "")]
DENSE = ["bert-cls-normalize-prompts", "bert-mean-normalize", "bert-typed-tokenizer", "mpnet-mean-normalize"]


def same(ours, other, atol: float = 1e-5) -> None:
    """The same kinds of things with the same numbers in them."""
    assert type(ours) is type(other)
    if isinstance(other, dict):
        assert ours.keys() == other.keys()
        ours, other = [ours[name] for name in other], list(other.values())
    if isinstance(other, (list, tuple)):
        for one, two in zip_longest(ours, other):
            same(one, two, atol)
    elif isinstance(other, (torch.Tensor, np.ndarray, np.floating)):
        assert (ours.dtype, ours.shape) == (other.dtype, other.shape)
        if isinstance(other, torch.Tensor):
            assert ours.layout == other.layout
            ours, other = ours.to_dense(), other.to_dense()
        np.testing.assert_allclose(ours, other, atol=atol, rtol=1e-4)
    elif isinstance(other, float):
        assert ours == pytest.approx(other, abs=atol, rel=1e-6)
    else:
        assert ours == other


@pytest.fixture(scope="module", params=DENSE)
def dense(request):
    folder = str(tiny(request.param).model)
    return compat.SentenceTransformer(folder, device="cpu"), theirs.SentenceTransformer(folder, device="cpu")


def loaded_by_theirs(kind):
    """Folders of a kind without published code, which sentence-transformers would run."""
    for case in other(kind):
        config = case / "model" / "config.json"
        code = config.exists() and "auto_map" in config.read_text(encoding="utf-8")
        # It looks for the file of weights in the working directory.
        if not code and case.name != "sparse-static-idf-json":
            yield case


def converted_by_theirs():
    """Folders of other kinds that sentence-transformers opens as a sentence model, and embeds texts with."""
    templates = {"rerank-gemma-causal-true-only", "rerank-qwen2-causal-untied"}  # of pairs alone
    for case in (case for kind in ("rerank", "sparse", "multi_vector") for case in loaded_by_theirs(kind)):
        if case.name not in templates and (case / "model" / "config.json").exists():
            yield case


LISTED = [["a", "pair"], ["b", "pair"]]


@pytest.mark.parametrize(
    "inputs",
    [TEXTS, TEXTS[1], tuple(TEXTS), np.array(TEXTS), [("a", "pair"), ("b", "pair")], LISTED, np.array(LISTED)],
)
@pytest.mark.parametrize(
    "arguments",
    [
        (),
        (None, "query: "),
        (None, None, 2, False),
        ("query",),
        {"convert_to_tensor": True},
        {"convert_to_numpy": False},
        {"normalize_embeddings": True, "truncate_dim": 5},
        {"truncate_dim": 10_000, "precision": None},
        {"precision": "binary"},
        {"precision": "ubinary", "convert_to_tensor": True},
        {"precision": "ubinary", "convert_to_numpy": False},
        {"output_value": "token_embeddings"},
        {"output_value": "token_embeddings", "convert_to_tensor": True},
        {"output_value": "token_embeddings", "precision": "ubinary"},
        {"sentences": TEXTS},
        {"task": "query"},
    ],
)
def test_encode(dense, inputs, arguments):
    for name in ("encode",) if "task" in arguments else ("encode", "encode_query", "encode_document"):
        methods = [getattr(model, name) for model in dense]
        if isinstance(arguments, tuple):
            same(*(method(inputs, *arguments) for method in methods))
        elif "sentences" in arguments:
            same(*(method(**arguments) for method in methods))
        else:
            same(*(method(inputs, **arguments) for method in methods))


def test_all_that_is_computed_of_a_text(dense):
    for inputs, options in [
        (TEXTS[1], {}),
        (TEXTS[1:2], {}),
        (TEXTS[1], {"normalize_embeddings": True, "truncate_dim": 4}),
    ]:
        ours, other = (model.encode(inputs, output_value=None, **options) for model in dense)
        ours, other = (x[0] if isinstance(x, list) else x for x in (ours, other))
        same(ours, {name: other[name] for name in ours})


def test_int8_and_none(dense):
    ours, other = (model.encode(TEXTS, precision="int8") for model in dense)
    tokens = [model.encode(TEXTS, precision="int8", output_value="token_embeddings") for model in dense]
    for one, two in [(ours, other), *zip(*tokens, strict=True)]:
        assert (one.dtype, one.shape) == (two.dtype, two.shape)
        assert np.abs(one.astype(int) - two).max() <= 1  # an embedding may lie between two steps
    # Ours have a width: that is a difference.
    assert [model.encode([]).shape for model in dense] == [(0, dense[1].get_embedding_dimension()), (0,)]


def test_comparing(dense):
    one, two = dense[1].encode(TEXTS), dense[1].encode(TEXTS[::-1], convert_to_tensor=True)
    for name in ("cosine", "dot", "euclidean", "manhattan", theirs.SimilarityFunction.DOT_PRODUCT):
        for model in dense:
            model.similarity_fn_name = (
                name if isinstance(name, str) or model is dense[1] else compat.SimilarityFunction.DOT
            )
        same(*(model.similarity(one, two) for model in dense))
        same(*(model.similarity_pairwise(one, two) for model in dense))
        same(*(model.similarity(one[0], two[0]) for model in dense))
        same(*(model.similarity_pairwise(one[0], two[0]) for model in dense))
        same(*(model.similarity_fn_name for model in dense))
    for model in dense:
        model.similarity_fn_name = None
    same(*(model.similarity_fn_name for model in dense))


def test_tokens(dense):
    for texts, prompt in [(TEXTS, None), (TEXTS, "a prompt: "), ([("a", "pair"), ("b", "c")], None), (LISTED, "x")]:
        ours, other = (model.preprocess(texts, prompt=prompt) for model in dense)
        same({**ours}, {name: other[name] for name in ours})
        same(*(tokens.to("cpu").input_ids for tokens in (ours, other)))
        assert {name for name in other if name.endswith(("ids", "mask"))} == set(ours)
    same(*({**model.tokenize(TEXTS), "modality": ""} for model in dense))


@pytest.mark.parametrize("case", loaded_by_theirs("rerank"), ids=lambda case: case.name)
def test_tokens_of_pairs(case):
    folder = str(case / "model")
    models = compat.CrossEncoder(folder, device="cpu"), theirs.CrossEncoder(folder, device="cpu")
    for prompt in (None, "a prompt: "):
        ours, others = (model.preprocess(PAIRS, prompt=prompt) for model in models)
        same({**ours}, {name: others[name] for name in ours})


@pytest.mark.parametrize(
    ("kind", "case"),
    [("SparseEncoder", case) for case in loaded_by_theirs("sparse")]
    + [("MultiVectorEncoder", case) for case in other("multi_vector")],
    ids=lambda case: getattr(case, "name", None),
)
def test_tokens_of_queries_and_documents(kind, case):
    models = [getattr(module, kind)(str(case / "model"), device="cpu") for module in (compat, theirs)]
    for task in (None, "query", "document"):
        ours, others = (model.preprocess(TEXTS, task=task) for model in models)
        same({**ours}, {name: others[name] for name in ours})


@pytest.mark.parametrize(
    ("kind", "folder"),
    [
        *(("SentenceTransformer", case) for case in converted_by_theirs()),
        ("CrossEncoder", tiny("qwen2-causal-no-modules").model.parent),
        *(("MultiVectorEncoder", tiny(name).model.parent) for name in ("bert-cls-dense-normalize", "bert-dense-tanh")),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_models_of_another_kind(kind, folder):
    ours, model = (getattr(module, kind)(str(folder / "model"), device="cpu") for module in (compat, theirs))
    same(_result(ours), _result(model))
    for name in ("prompts", "default_prompt_name", "similarity_fn_name"):
        assert getattr(ours, name, None) == getattr(model, name, None)
    assert [type(module).__name__ for module in ours] == [type(module).__name__ for module in model]


def _result(model):
    if hasattr(model, "predict"):
        return model.predict(PAIRS)
    return model.encode(TEXTS[:2], batch_size=1)  # causal models have no tokens for an empty text


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_side(side):
    kinds = compat.SentenceTransformer, theirs.SentenceTransformer
    ours, other = (
        kind(str(tiny("bert-typed-tokenizer").model), device="cpu", tokenizer_kwargs={"padding_side": side})
        for kind in kinds
    )
    tokens = ours.preprocess(TEXTS)
    same({**tokens}, {name: values for name, values in other.preprocess(TEXTS).items() if name in tokens})
    # One by one, so that theirs are not padded either: what is padded on the left has other positions.
    same(ours.encode(TEXTS), other.encode(TEXTS, batch_size=1))


def test_settings(dense):
    for name in (
        "device",
        "dtype",
        "training",
        "modalities",
        "max_seq_length",
        "prompts",
        "default_prompt_name",
        "truncate_dim",
    ):
        same(*(getattr(model, name) for model in dense))
    for name in (
        "get_embedding_dimension",
        "get_sentence_embedding_dimension",
        "get_max_seq_length",
        "get_model_kwargs",
    ):
        same(*(getattr(model, name)() for model in dense))
    for inputs in ("a", ["a"], ("a",), [], np.array(["a"])):
        same(*(model.is_singular_input(inputs) for model in dense))
    for modality in ("text", "image"):
        same(*(model.supports(modality) for model in dense))
    for model in dense:
        with model.truncate_embeddings(3):
            assert model.encode("a").shape == (3,)
            assert model.get_embedding_dimension() == 3
        assert model.to("cpu").eval().float().cpu().requires_grad_(False) is model


def test_pools_give_the_same(dense):
    ours, other = dense
    expected = other.encode(TEXTS)
    pool = ours.start_multi_process_pool([torch.device("cpu"), "cpu"])
    same(ours.encode(TEXTS, pool=pool, chunk_size=1), expected)
    same(ours.encode_multi_process(TEXTS, pool, None, None, 32, 1), expected)
    compat.SentenceTransformer.stop_multi_process_pool(pool)
    same(ours.encode(TEXTS, device=[torch.device("cpu"), "cpu"]), expected)


@pytest.mark.parametrize("name", ["rerank-bert", "rerank-bert-3-labels", "rerank-bert-token-types", "rerank-qwen3"])
def test_cross_encoders(name):
    folder = str(DATA / "rerank" / name / "model")
    models = compat.CrossEncoder(folder, device="cpu"), theirs.CrossEncoder(folder, device="cpu")
    for inputs in (PAIRS, PAIRS[0], list(PAIRS[0]), list(map(list, PAIRS)), np.array(PAIRS), np.array(PAIRS[0])):
        for options in (
            {},
            {"apply_softmax": True},
            {"convert_to_tensor": True},
            {"convert_to_numpy": False},
            {"activation_fn": torch.nn.Identity()},
            {"activation_fct": torch.nn.Tanh()},
            {"prompt": "a prompt "},
            {"num_workers": 0},
        ):
            same(*(model.predict(inputs, **options) for model in models))
        same(*(model.predict(inputs, None, None, 2, False, torch.nn.Sigmoid(), True) for model in models))
        same(*(model.is_singular_input(inputs) for model in models))
    for setting in ("num_labels", "max_seq_length", "prompts", "device", "modalities"):
        same(*(getattr(model, setting) for model in models))
    for model in models:
        model.activation_fn = torch.nn.Identity()
    same(*(model.predict(PAIRS) for model in models))
    if models[0].num_labels == 1:
        for options in (
            {},
            {"top_k": 0},
            {"top_k": 2, "return_documents": True},
            {"activation_fn": torch.nn.Sigmoid()},
        ):
            same(*(model.rank("a query", [b for _, b in PAIRS], **options) for model in models))
    with models[0].start_multi_process_pool() as pool:
        same(models[0].predict(PAIRS, pool=pool), models[1].predict(PAIRS))


@pytest.mark.parametrize("name", ["splade-bert-max", "splade-router-static-query"])
def test_sparse_encoders(name):
    folder = str(DATA / "sparse" / name / "model")
    models = compat.SparseEncoder(folder, device="cpu"), theirs.SparseEncoder(folder, device="cpu")
    texts = [text for text in TEXTS if text]
    for method in ("encode_query", "encode_document") if "router" in name else ("encode", "encode_query"):
        same(*(getattr(model, method)(LISTED) for model in models), atol=1e-4)
        for inputs in (texts, texts[1]):
            for options in (
                {},
                {"convert_to_tensor": False},
                {"convert_to_sparse_tensor": False},
                {"convert_to_tensor": False, "convert_to_sparse_tensor": False},
                {"save_to_cpu": True, "max_active_dims": 4},
                {"prompt": "a prompt"},
            ):
                same(*(getattr(model, method)(inputs, **options) for model in models), atol=1e-4)
            same(*(getattr(model, method)(inputs, None, None, 2, False, False) for model in models), atol=1e-4)
    query, document = models[1].encode_query(texts), models[1].encode_document(texts)
    for one, two in [(query, document), (query.to_dense(), document), (list(query), document), (query[0], document[0])]:
        for function in ("cosine", "dot", "euclidean", "manhattan"):
            for model in models:
                model.similarity_fn_name = function
            same(*(model.similarity_pairwise(one, two) for model in models), atol=1e-3)
            if one.ndim == 2 if hasattr(one, "ndim") else True:
                same(*(model.similarity(one, two) for model in models), atol=1e-3)
    for e in (document, document[0], document.to_dense()):
        same(*(model.decode(e, top_k=3) for model in models))
        same(*(model.sparsity(e) for model in models))
        same(*(model.intersection(query[0], e) for model in models))
    for setting in ("max_seq_length", "prompts", "device", "max_active_dims"):
        same(*(getattr(model, setting) for model in models))
    same(*(model.get_sentence_embedding_dimension() for model in models))


@pytest.mark.parametrize("case", other("multi_vector"), ids=lambda case: case.name)
def test_multi_vector_encoders(case):
    folder = str(case / "model")
    models = compat.MultiVectorEncoder(folder, device="cpu"), theirs.MultiVectorEncoder(folder, device="cpu")
    for method in ("encode", "encode_query", "encode_document"):
        for inputs in (TEXTS, TEXTS[1], LISTED):
            for options in ({}, {"convert_to_numpy": True}, {"normalize_embeddings": True}):
                same(*(getattr(model, method)(inputs, **options) for model in models))
    for task in ("query", "document"):
        same(*(model.encode(TEXTS, prompt="", task=task) for model in models))
    query, document = models[1].encode_query(TEXTS), models[1].encode_document(TEXTS, convert_to_numpy=True)
    for function in ("maxsim", "meanmaxsim"):
        for model in models:
            model.similarity_fn_name = function
        for options in ({}, {"length_normalize": True, "chunk_elements": 9}):
            same(*(model.similarity(query, document, **options) for model in models), atol=1e-4)
            same(*(model.similarity_pairwise(query, document, **options) for model in models), atol=1e-4)
            same(*(model.similarity_pairwise(query[0], document[0], **options) for model in models), atol=1e-4)
    for setting in ("prompts", "device"):
        same(*(getattr(model, setting) for model in models))


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("SentenceTransformer", "tiny/bert-mean-normalize"),
        ("SparseEncoder", "sparse/splade-bert-max"),
        ("MultiVectorEncoder", "multi_vector/multivector-native-bert"),
    ],
)
def test_similarity_functions_by_enum_and_none(kind, path):
    names = []
    for module in (compat, theirs):
        model = getattr(module, kind)(str(DATA / path / "model"), device="cpu")
        is_late = kind == "MultiVectorEncoder"
        model.similarity_fn_name = getattr(module.SimilarityFunction, "MEAN_MAXSIM" if is_late else "EUCLIDEAN")
        names.append([f"{model.similarity_fn_name}"])
        model.similarity_fn_name = None
        names[-1].append(model.similarity_fn_name)
    same(*names)


@pytest.mark.parametrize("name", DENSE)
def test_models_saved_by_one_load_in_the_other(tmp_path, name):
    folder = str(tiny(name).model)
    ours, other = compat.SentenceTransformer(folder, device="cpu"), theirs.SentenceTransformer(folder, device="cpu")
    for model in (ours, other):
        model.prompts["query"] = "a prompt: "
        model.truncate_dim = 7
        model.max_seq_length = 9
        model.similarity_fn_name = "dot"
    expected = other.encode(TEXTS, prompt_name="query")
    ours.save(str(tmp_path / "ours"))
    other.save_pretrained(str(tmp_path / "theirs"), create_model_card=False)
    for path in ("ours", "theirs"):
        for kind in (compat.SentenceTransformer, theirs.SentenceTransformer):
            loaded = kind(str(tmp_path / path), device="cpu")
            same(loaded.encode(TEXTS, prompt_name="query"), expected)
            assert (loaded.max_seq_length, loaded.similarity_fn_name, loaded.truncate_dim) == (9, "dot", 7)


def test_models_with_a_router_saved_by_one_load_in_the_other(tmp_path):
    folder = str(
        router(tmp_path / "router", {"query": "bert-mean-normalize", "document": "bert-cls-normalize-prompts"})
    )
    ours, other = compat.SentenceTransformer(folder, device="cpu"), theirs.SentenceTransformer(folder, device="cpu")
    expected = [other.encode_query(TEXTS), other.encode_document(TEXTS), other.encode(TEXTS)]
    ours.save_pretrained(str(tmp_path / "ours"))
    other.save_pretrained(str(tmp_path / "theirs"), create_model_card=False)
    for path in ("ours", "theirs"):
        for kind in (compat.SentenceTransformer, theirs.SentenceTransformer):
            loaded = kind(str(tmp_path / path), device="cpu")
            same([loaded.encode_query(TEXTS), loaded.encode_document(TEXTS), loaded.encode(TEXTS)], expected)


def with_markers_in_the_vocabulary(folder):
    """A folder of ColBERT's whose markers no file says to be special, as those of the hub."""
    copied = shutil.copytree(DATA / "multi_vector/multivector-stanford-bert/model", folder)
    tokenizer = json.loads((copied / "tokenizer.json").read_text())
    for token in tokenizer["added_tokens"][5:]:
        tokenizer["model"]["vocab"][token["content"]] = token["id"]
    tokenizer["added_tokens"] = tokenizer["added_tokens"][:5]
    (copied / "tokenizer.json").write_text(json.dumps(tokenizer))
    config = json.loads((copied / "tokenizer_config.json").read_text())
    del config["extra_special_tokens"]
    (copied / "tokenizer_config.json").write_text(json.dumps(config))
    return copied


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("CrossEncoder", "rerank/rerank-bert"),
        ("CrossEncoder", "rerank/rerank-bert-3-labels"),
        ("CrossEncoder", "rerank/rerank-modernbert"),
        ("SparseEncoder", "sparse/splade-bert-max"),
        ("SparseEncoder", "sparse/splade-distilbert-sum"),
        ("SparseEncoder", "sparse/splade-router-static-query"),
        ("MultiVectorEncoder", "multi_vector/multivector-native-bert"),
        ("MultiVectorEncoder", "multi_vector/multivector-pylate-attend"),
        ("MultiVectorEncoder", "multi_vector/multivector-stanford-bert"),
        ("MultiVectorEncoder", None),
    ],
)
def test_models_of_other_kinds_saved_by_one_load_in_the_other(tmp_path, kind, path):
    folder = with_markers_in_the_vocabulary(tmp_path / "markers") if path is None else DATA / path / "model"
    ours, other = (getattr(module, kind)(str(folder), device="cpu") for module in (compat, theirs))
    settings = {"default_prompt_name": "new"}
    if kind == "CrossEncoder":
        settings["max_seq_length"] = 9
        ours.activation_fn = other.activation_fn = torch.nn.Identity()
    elif kind == "SparseEncoder":
        settings.update(similarity_fn_name="cosine", max_active_dims=3)
    else:
        settings["similarity_fn_name"] = "meanmaxsim"
        ours.document_length = other[0].document_length = 9
    for model in (ours, other):
        model.prompts["new"] = "a prompt: "
        for name, value in settings.items():
            setattr(model, name, value)
    expected = results(other)
    ours.save_pretrained(str(tmp_path / "ours"))
    other.save_pretrained(str(tmp_path / "theirs"), create_model_card=False)
    for loaded in (
        getattr(module, kind)(str(tmp_path / by)) for module in (compat, theirs) for by in ("ours", "theirs")
    ):
        same(results(loaded), expected, atol=1e-4)
        assert {name: getattr(loaded, name) for name in settings} == settings
        assert loaded.prompts["new"] == "a prompt: "


def results(model):
    if hasattr(model, "predict"):
        return [model.predict(PAIRS)]
    return [model.encode_query(TEXTS), model.encode_document(TEXTS)]


def test_their_evaluators_take_our_models(tmp_path):
    evaluation = pytest.importorskip("sentence_transformers.evaluation")
    evaluators = [
        evaluation.InformationRetrievalEvaluator(
            {"q": "one text"}, {str(i): text for i, text in enumerate(TEXTS)}, {"q": {"0"}}
        ),
        evaluation.EmbeddingSimilarityEvaluator(TEXTS, TEXTS[::-1], [1.0, 0.2, 0.3, 0.9]),
        evaluation.TripletEvaluator(TEXTS, TEXTS, TEXTS[::-1]),
    ]
    folder = str(tiny("bert-mean-normalize").model)
    models = compat.SentenceTransformer(folder), theirs.SentenceTransformer(folder, device="cpu")
    for evaluator in evaluators:
        ours, other = (model.evaluate(evaluator, str(tmp_path / "out")) for model in models)
        assert ours.keys() == other.keys()
        np.testing.assert_allclose(list(ours.values()), list(other.values()), atol=1e-4)


def test_paraphrase_mining_with_a_model(dense):
    same(
        *(
            module.util.paraphrase_mining(model, TEXTS[:3])
            for module, model in zip((compat, theirs), dense, strict=True)
        )
    )


def test_plain_models_do_not_return_tensors():
    model = rushlight.Model(tiny("bert-mean-normalize").model)
    assert isinstance(model.similarity(model.encode(TEXTS), model.encode(TEXTS)), np.ndarray)
