"""`rushlight.compat`'s models where torch is not installed: what all of them take, have and refuse."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from cases import DATA, tiny

from rushlight import SparseEmbeddings
from rushlight.compat import CrossEncoder, MultiVectorEncoder, SentenceTransformer, SparseEncoder, util
from rushlight.exceptions import (
    DeviceError,
    InferenceError,
    InvalidArgumentError,
    InvalidInputError,
    ModelNotFoundError,
    UnsupportedFeatureError,
)

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


@pytest.fixture(params=FOLDERS, ids=lambda kind: kind.__name__)
def any_model(request):
    return request.param(FOLDERS[request.param])


def test_rushlight_does_not_import_it():
    code = "import rushlight, sys; print(sorted(name for name in sys.modules if 'compat' in name))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "rushlight.compat" not in done.stdout


def test_importing_it_imports_no_torch():
    code = "import rushlight.compat, sys; print('torch' in sys.modules, 'tqdm' in sys.modules)"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("False False\n", "")


# Arguments of all kinds


def test_arguments_that_ask_for_nothing_are_taken(any_model):
    kind = type(any_model)
    again = kind(
        str(FOLDERS[kind]),
        modules=None,
        device="cpu",
        prompts={},
        default_prompt_name=None,
        cache_folder=None,
        trust_remote_code=True,
        revision=None,
        local_files_only=True,
        token=False,
        model_kwargs={"torch_dtype": np.float32, "attn_implementation": "sdpa", "device_map": "auto"},
        tokenizer_kwargs={"padding_side": "left", "use_fast": True},
        config_kwargs={"use_memory_efficient_attention": False, "unpad_inputs": None},
        model_card_data=None,
        backend="torch",
    )
    assert again.get_backend() == "rushlight"
    for options in ({"dtype": "auto"}, {"torch_dtype": "float32", "device_map": "cpu"}, {}, None):
        kind(FOLDERS[kind], model_kwargs=options)


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"modules": []}, UnsupportedFeatureError, "modules"),
        ({"model_card_data": {}}, InvalidArgumentError, "model_card_data"),
        ({"backend": "onnx"}, InvalidArgumentError, "backend: .*got 'onnx'"),
        ({"device": "cuda"}, DeviceError, "cuda"),
        ({"model_kwargs": {"device_map": "cuda:1"}}, DeviceError, "cuda:1"),
        ({"model_kwargs": {"device_map": {"": 0}}}, DeviceError, "cuda:0"),
        ({"model_kwargs": {"device_map": {"encoder": 0}}}, InvalidArgumentError, "'device_map'.*'auto'"),
        ({"model_kwargs": {"torch_dtype": "float16"}}, DeviceError, "float32, bfloat16 or int8, got float16"),
        ({"model_kwargs": {"dtype": np.float16}}, DeviceError, "float32, bfloat16 or int8, got float16"),
        ({"model_kwargs": {"dtype": 16}}, InvalidArgumentError, "dtype"),
        ({"model_kwargs": {"attn_implementation": "fast"}}, InvalidArgumentError, "must be one of 'eager'.*'fast'"),
        ({"model_kwargs": {"provider": "x"}}, InvalidArgumentError, "model_kwargs: known are .*got 'provider'"),
        ({"model_kwargs": {"file_name": "x"}}, InvalidArgumentError, "model.safetensors"),
        ({"processor_kwargs": {"model_max_length": 0}}, InvalidArgumentError, "must be at least 1, got 0"),
        ({"processor_kwargs": {"use_fast": False}}, InvalidArgumentError, "use_fast"),
        ({"processor_kwargs": {"padding_side": "top"}}, InvalidArgumentError, "'left', 'right'"),
        ({"config_kwargs": {"num_labels": 2}}, InvalidArgumentError, "num_labels"),
        ({"config_kwargs": {"hidden_act": "relu"}}, InvalidArgumentError, "config_kwargs"),
        ({"model_name_or_path": None}, InvalidArgumentError, "model_name_or_path"),
        ({"model_name_or_path": "/no/such/folder"}, ModelNotFoundError, "/no/such/folder"),
        ({"token": 3}, InvalidArgumentError, "token"),
        ({"unheard": 3}, TypeError, "unheard"),
    ],
)
@pytest.mark.parametrize("kind", FOLDERS, ids=lambda kind: kind.__name__)
def test_arguments_that_ask_for_something_else_are_refused(kind, arguments, error, said):
    with pytest.raises(error, match=said):
        kind(**{"model_name_or_path": FOLDERS[kind], **arguments})


# Members of all kinds


def test_what_a_torch_module_has_returns_the_model_or_says_why_not(any_model):
    same = [
        any_model.to("cpu"),
        any_model.to(device="cpu", dtype=np.float32, non_blocking=True),
        any_model.to(np.dtype("float32")),
        any_model.to(None),
        any_model.cpu(),
        any_model.float(),
        any_model.eval(),
        any_model.train(False),
        any_model.requires_grad_(False),
        any_model.share_memory(),
    ]
    assert {id(model) for model in same} == {id(any_model)}
    assert any_model.compile(dynamic=True) is None
    assert not any_model.training
    for move in (
        lambda: any_model.to("cuda"),
        any_model.cuda,
        lambda: any_model.cuda(1),
        lambda: any_model.to(0),
    ):
        with pytest.raises(DeviceError, match=r"device 'cuda.*this model is on 'cpu'"):
            move()
    for cast in (any_model.half, any_model.bfloat16, any_model.double, lambda: any_model.to(np.float16)):
        with pytest.raises(DeviceError, match="computes in 'float32'"):
            cast()
    with pytest.raises(UnsupportedFeatureError, match="does not train"):
        any_model.train()


def test_what_is_missing_is_missing_with_a_reason(any_model):
    name = type(any_model).__name__
    for member, said in [
        ("fit", "does not train"),
        ("state_dict", "not a torch module"),
        ("push_to_hub", "upload_folder"),
    ]:
        assert not hasattr(any_model, member)
        with pytest.raises(UnsupportedFeatureError, match=rf"^{name}\.{member}: .*{said}"):
            getattr(any_model, member)
    with pytest.raises(UnsupportedFeatureError, match=rf"^{name}\(\.\.\.\): a rushlight model is not a torch module"):
        any_model(any_model.tokenize(TEXTS))
    assert any_model
    with pytest.raises(AttributeError, match=f"'{name}' object has no attribute 'unheard'"):
        any_model.unheard()


def test_tokens(any_model):
    tokens = any_model.tokenize(["text", "a longer text"])
    assert tokens.to("cpu") is tokens
    assert tokens.input_ids is tokens["input_ids"]
    assert pickle.loads(pickle.dumps(tokens)).keys() == copy.copy(tokens).keys() == tokens.keys()
    with pytest.raises(DeviceError, match="device 'cuda:0': input_ids are no tensors"):
        tokens.to("cuda:0")
    with pytest.raises(AttributeError, match="'pixel_values': there are 'input_ids'"):
        _ = tokens.pixel_values
    assert tokens["input_ids"].shape == tokens["attention_mask"].shape
    assert any_model.tokenizer.encode("a longer text") == tokens["input_ids"][1].tolist()
    single = any_model.preprocess("a longer text")
    assert {name: rows[0].tolist() for name, rows in single.items()} == {k: v[1].tolist() for k, v in tokens.items()}
    with pytest.raises(InvalidArgumentError, match="got 'images'"):
        any_model.preprocess(["text"], images=True)


def test_saving(any_model, tmp_path):
    any_model.prompts["new"] = "a prompt: "
    any_model.save(str(tmp_path / "saved"), safe_serialization=True)
    again = type(any_model)(tmp_path / "saved")
    assert again.prompts["new"] == "a prompt: "
    any_model.save(str(tmp_path / "named"), "a name")
    any_model.save(None)
    any_model.save_pretrained(None)
    for argument, value in (("create_model_card", True), ("train_datasets", ["a"])):
        with pytest.raises(InvalidArgumentError, match=f"^{argument}: rushlight writes no model cards"):
            any_model.save_pretrained(tmp_path, **{argument: value})
    with pytest.raises(InvalidArgumentError, match="safetensors alone"):
        any_model.save(tmp_path, safe_serialization=False)


def test_training_is_refused_where_it_is_imported():
    for name in ("SentenceTransformerTrainer", "InputExample", "losses"):
        with pytest.raises(UnsupportedFeatureError, match=rf"rushlight.compat.{name}: rushlight does not train"):
            exec(f"from rushlight.compat import {name}")
    with pytest.raises(ImportError, match="unheard"):
        from rushlight.compat import unheard  # noqa: F401


def test_what_is_known_of_a_model(any_model):
    assert (any_model.modalities, any_model.supports("text"), any_model.supports("image")) == (["text"], True, False)
    assert any_model.get_model_kwargs() == []
    assert any_model.max_seq_length == any_model.get_max_seq_length()
    any_model.max_seq_length = 5
    assert any_model.max_seq_length == 5


def test_evaluators_are_called(any_model, tmp_path):
    calls = []

    def evaluator(model, output_path):
        calls.append((model, output_path))
        model.model_card_data.set_evaluation_metrics(evaluator, {"f1": 1.0}, epoch=-1)
        return {"f1": 1.0}

    assert any_model.evaluate(evaluator) == any_model.evaluate(evaluator, str(tmp_path / "a" / "b")) == {"f1": 1.0}
    assert calls == [(any_model, None), (any_model, str(tmp_path / "a" / "b"))]
    assert (tmp_path / "a" / "b").is_dir()


def test_copies(any_model):
    for again in (copy.copy(any_model), copy.deepcopy(any_model), pickle.loads(pickle.dumps(any_model))):
        assert type(again) is type(any_model)
        assert Path(again._engine.folder).resolve() == Path(any_model._engine.folder).resolve()
    any_model.close()
    with pytest.raises(InferenceError, match="closed"):
        any_model.to("cpu")


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"device": "cuda"}, DeviceError, "cuda"),
        ({"device": ["cpu", "cuda:1"]}, DeviceError, "cuda:1"),
        ({"device": []}, InvalidArgumentError, "at least one device"),
        ({"pool": 3}, InvalidArgumentError, "start_multi_process_pool"),
        ({"chunk_size": 0}, InvalidArgumentError, "chunk_size"),
        ({"batch_size": 0}, InvalidArgumentError, "batch_size"),
        ({"processing_kwargs": {"text": {"stride": 1}}}, InvalidArgumentError, "processing_kwargs"),
    ],
)
def test_options_that_make_no_sense(any_model, options, error, said):
    call = any_model.predict if isinstance(any_model, CrossEncoder) else any_model.encode
    inputs = PAIRS if isinstance(any_model, CrossEncoder) else TEXTS
    with pytest.raises(error, match=said):
        call(inputs, **options)
    if not isinstance(any_model, CrossEncoder):
        with pytest.raises(InvalidArgumentError, match="task: must be one of None, 'query', 'document'"):
            call(inputs, task="clustering")


def test_unknown_arguments_are_said_to_be_the_models_own(any_model):
    name = type(any_model).__name__
    for method in ("predict",) if isinstance(any_model, CrossEncoder) else ("encode", "encode_query"):
        with pytest.raises(TypeError, match=rf"^{name}\.\w+\(\) got an unexpected keyword argument 'foo'$"):
            getattr(any_model, method)(PAIRS, foo=1)


def test_pairs_may_be_lists_and_rows_of_an_array(any_model):
    call = any_model.predict if isinstance(any_model, CrossEncoder) else any_model.encode
    pairs, mixed = PAIRS[:2], ["a text", *PAIRS[:2]]
    for inputs in (list(map(list, pairs)), np.array(pairs), np.array(pairs, dtype=object), map(list, pairs)):
        for one, two in zip(call(inputs), call(pairs), strict=True):
            assert one == two if isinstance(one, SparseEmbeddings) else np.array_equal(one, two)
    tokens, expected = any_model.preprocess([mixed[0], *map(list, mixed[1:])]), any_model.tokenize(mixed)
    assert {name: rows.tolist() for name, rows in tokens.items()} == {k: v.tolist() for k, v in expected.items()}
    for wrong in (["a", ["b", "c", "d"]], ["a", [1, 2]], np.array(["a"]).reshape(1, 1, 1)):
        with pytest.raises(InvalidInputError):
            any_model.preprocess(wrong)


def test_causal_rerankers_pad_on_the_left():
    folder = DATA / "rerank" / "rerank-qwen3-causal" / "model"
    for model in (CrossEncoder(folder), CrossEncoder(folder, tokenizer_kwargs={"padding_side": "right"})):
        mask = model.preprocess(PAIRS)["attention_mask"]
        assert mask[:, -1].all()
        assert not mask[:, 0].all()
        assert model.tokenizer.padding_side == "left"


def test_texts_may_be_dicts(any_model):
    if isinstance(any_model, CrossEncoder):
        assert any_model.preprocess({"text": "a"})["input_ids"].shape[0] == 1
        return
    plain = [dense(row) for row in any_model.encode(TEXTS)]
    for inputs in ([{"text": text} for text in TEXTS], (TEXTS[0], {"text": TEXTS[1]}, TEXTS[2])):
        assert all(map(np.array_equal, map(dense, any_model.encode(inputs)), plain))
    single = any_model.encode({"text": TEXTS[0]})
    assert any_model.is_singular_input({"text": TEXTS[0]})
    assert np.array_equal(dense(single), dense(any_model.encode(TEXTS[0])))
    for wrong in ({"text": 1}, {"audio": "a"}, {"text": "a", "image": "b"}, [{"texts": "a"}]):
        with pytest.raises(InvalidInputError, match=r"inputs.*: must be a str"):
            any_model.encode(wrong)


def test_prompts_that_are_none_are_empty(any_model):
    any_model.prompts = {"query": None, "other": "a: "}
    assert any_model.prompts == {"query": "", "other": "a: "}
    with pytest.raises(InvalidArgumentError, match="prompts"):
        any_model.prompts = None


def test_pools(any_model):
    pool = any_model.start_multi_process_pool()
    call = any_model.predict if isinstance(any_model, CrossEncoder) else any_model.encode
    inputs = PAIRS if isinstance(any_model, CrossEncoder) else TEXTS
    for options in ({"pool": pool}, {"device": ["cpu", "cpu"]}, {"device": "cpu", "chunk_size": 1}):
        for one, two in zip(call(inputs, **options), call(inputs), strict=True):
            assert one == two if isinstance(one, SparseEmbeddings) else np.array_equal(one, two)
    any_model.stop_multi_process_pool(pool)
    with pytest.raises(InferenceError, match="this pool is closed"):
        call(inputs, pool=pool)
    with pytest.raises(DeviceError):
        any_model.start_multi_process_pool(["cuda:0"])


def test_positions_and_names_do_not_give_the_same_twice():
    with pytest.raises(TypeError, match="multiple values for argument 'max_length'"):
        CrossEncoder(FOLDERS[CrossEncoder], 1, 20, max_length=30)


LONG = "a text of some more words than that, which is cut"


def dense(embeddings):
    return embeddings.to_dense() if isinstance(embeddings, SparseEmbeddings) else embeddings


@pytest.mark.parametrize("kind", [SentenceTransformer, SparseEncoder])
@pytest.mark.parametrize("method", ["encode", "encode_query", "encode_document"])
def test_processing_kwargs_limit_the_tokens_of_a_call(kind, method):
    model, short = kind(FOLDERS[kind]), kind(FOLDERS[kind])
    short.max_seq_length = 4
    for options in ({"max_length": 4}, {"max_length": 4, "truncation": True, "padding": "longest"}):
        cut = getattr(model, method)([LONG], processing_kwargs={"text": options, "image": {}})
        assert np.array_equal(dense(cut), dense(getattr(short, method)([LONG])))
    whole = getattr(model, method)([LONG], processing_kwargs={"text": {"padding": True}})
    assert np.array_equal(dense(whole), dense(getattr(model, method)([LONG])))
    assert not np.array_equal(dense(whole), dense(cut))
    with pytest.raises(InvalidArgumentError, match=r"rushlight tokenizes .* got {'text': {'stride': 2}}"):
        getattr(model, method)([LONG], processing_kwargs={"text": {"max_length": 4, "stride": 2}})
    with pytest.raises(InvalidArgumentError, match="max_length: must be"):
        getattr(model, method)([LONG], processing_kwargs={"text": {"max_length": 0}})


def test_processing_kwargs_of_other_calls():
    limit = {"text": {"max_length": 6}}
    model, short = CrossEncoder(FOLDERS[CrossEncoder]), CrossEncoder(FOLDERS[CrossEncoder], max_length=6)
    assert model.predict((LONG, LONG), processing_kwargs=limit) == short.predict((LONG, LONG))
    assert model.predict((LONG, LONG)) != short.predict((LONG, LONG))
    assert model.preprocess([LONG], processing_kwargs=limit)["input_ids"].shape == (1, 6)
    model = MultiVectorEncoder(FOLDERS[MultiVectorEncoder])
    assert len(model.encode(TEXTS, processing_kwargs=None)) == len(TEXTS)
    with pytest.raises(InvalidArgumentError, match="processing_kwargs: set document_length"):
        model.encode(TEXTS, processing_kwargs=limit)


def test_a_list_of_sparse_embeddings_is_as_good_as_one_of_many():
    model = SparseEncoder(FOLDERS[SparseEncoder])
    rows, together = model.encode(TEXTS, convert_to_tensor=False), model.encode(TEXTS)
    assert isinstance(rows, list)
    np.testing.assert_array_equal(
        np.asarray(model.similarity(rows, together)), np.asarray(model.similarity(together, rows))
    )
    assert model.decode(rows, 3) == model.decode(together, 3)
    assert np.asarray(model.similarity_pairwise(rows, rows)).shape == (len(TEXTS),)


def test_lists_of_sparse_embeddings_are_taken_wherever_dense_ones_are():
    model = SparseEncoder(FOLDERS[SparseEncoder])
    rows, dense = model.encode(TEXTS, convert_to_tensor=False), model.encode(TEXTS, convert_to_sparse_tensor=False)
    for function in (util.pairwise_cos_sim, util.pairwise_dot_score, util.pairwise_angle_sim):
        # Dense rows are added up in another order, which differs by instruction set.
        np.testing.assert_allclose(function(rows, rows), function(dense, dense), rtol=1e-6)
    np.testing.assert_allclose(util.normalize_embeddings(rows).to_dense(), util.normalize_embeddings(dense), rtol=1e-6)
    assert util.paraphrase_mining_embeddings(rows) == util.paraphrase_mining_embeddings(dense)
    assert util.community_detection(rows, 0.9, 2) == util.community_detection(dense, 0.9, 2)


def test_lists_may_mix_sparse_and_dense_embeddings_of_one_width():
    model = SparseEncoder(FOLDERS[SparseEncoder])
    together, dense = model.encode(TEXTS), model.encode(TEXTS, convert_to_sparse_tensor=False)
    for mixed in ([together[0], dense[1], together[2]], [dense[0], together[1], dense[2]]):
        assert np.array_equal(model.similarity(mixed, together), model.similarity(together, together))
    narrow = SparseEmbeddings([0, 1], [0], [1.0], (1, 3))
    with pytest.raises(InvalidArgumentError, match="embeddings1: must be of the same width, got 3 and 420"):
        model.similarity([together[0], narrow], together)
    with pytest.raises(InvalidArgumentError, match=r"embeddings1\[1\]: must be an array"):
        model.similarity([together[0], "text"], together)


def test_modules_can_be_kept_in_float32_where_all_compute_in_it(monkeypatch):
    model = CrossEncoder(FOLDERS[CrossEncoder], keep_in_fp32_modules=["classifier"])
    model.set_keep_in_fp32_modules(["classifier"])
    monkeypatch.setattr(model, "_device_and_dtype", ("cuda", "float16"))  # as on a GPU, which need not be there
    model.set_keep_in_fp32_modules([])
    with pytest.raises(InvalidArgumentError, match="keep_in_fp32_modules: all modules compute in one dtype, 'float16'"):
        model.set_keep_in_fp32_modules(["classifier"])
