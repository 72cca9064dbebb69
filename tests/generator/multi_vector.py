"""Late-interaction models, which give a vector for each token, in each layout of their folders: `multi_vector/`."""

import json
import shutil
import string
from pathlib import Path

import numpy as np
import torch
import transformers as tf
from safetensors.torch import load_file, save_file
from sentence_transformers import MultiVectorEncoder

from . import networks as of
from .files import backbone, emptied, one_by_one
from .storage import read_json, write_json
from .texts import TEXTS
from .weights import normal

DIMENSION = 16
QUERY_LENGTH, DOCUMENT_LENGTH = 32, 90
# Texts that are queries of the scores.
QUERIES = 12
MARKERS = 4


def projection():
    return {"linear.weight": 0.3 * normal("linear.weight", DIMENSION, of.WIDTH)}


def stanford(model):
    """ColBERT's own layout: the projection is among the weights, the settings are in artifact.metadata."""
    weights = {f"bert.{name}": tensor for name, tensor in load_file(model / "model.safetensors").items()}
    save_file({**weights, **projection()}, model / "model.safetensors", metadata={"format": "pt"})
    write_json(model / "config.json", {**read_json(model / "config.json"), "architectures": ["HF_ColBERT"]})
    settings = {
        "query_token_id": "[unused0]",
        "doc_token_id": "[unused1]",
        "query_maxlen": QUERY_LENGTH,
        "doc_maxlen": DOCUMENT_LENGTH,
        "attend_to_mask_tokens": False,
        "mask_punctuation": True,
        "dim": DIMENSION,
        "similarity": "cosine",
    }
    (model / "artifact.metadata").write_text(json.dumps(settings), encoding="utf-8")


def pylate(model, *, attend=False):
    """PyLate's layout: the projection is a module, the settings are in config_sentence_transformers.json."""
    dense = model / "1_Dense"
    dense.mkdir()
    linear = {"in_features": of.WIDTH, "out_features": DIMENSION, "bias": False}
    write_json(dense / "config.json", {**linear, "activation_function": "torch.nn.modules.linear.Identity"})
    save_file(projection(), dense / "model.safetensors", metadata={"format": "pt"})
    types = {"": "sentence_transformers.models.Transformer", "1_Dense": "pylate.models.Dense.Dense"}
    modules = [{"idx": i, "name": str(i), "path": path, "type": types[path]} for i, path in enumerate(types)]
    write_json(model / "modules.json", modules)
    write_json(model / "sentence_bert_config.json", {"max_seq_length": DOCUMENT_LENGTH - 1, "do_lower_case": False})
    versions = {"sentence_transformers": "5.1.1", "transformers": "4.56.2", "pytorch": "2.8.0", "pylate": "1.3.4"}
    settings = {
        "model_type": "ColBERT",
        "__version__": versions,
        "prompts": {},
        "default_prompt_name": None,
        "similarity_fn_name": "MaxSim",
        "query_prefix": "[Q] ",
        "document_prefix": "[D] ",
        "query_length": QUERY_LENGTH,
        "document_length": DOCUMENT_LENGTH,
        "attend_to_expansion_tokens": attend,
        "skiplist_words": list(string.punctuation),
        "do_query_expansion": True,
    }
    write_json(model / "config_sentence_transformers.json", settings)


def attending(model):
    pylate(model, attend=True)


def native(model):
    """The layout of sentence-transformers itself, made of PyLate's."""
    pylate(model)
    loaded = MultiVectorEncoder(str(model), device="cpu")
    shutil.rmtree(model)
    loaded.save_pretrained(str(model), create_model_card=False)


LAYOUTS = {
    "multivector-native-bert": native,
    "multivector-pylate-attend": attending,
    "multivector-pylate-bert": pylate,
    "multivector-stanford-bert": stanford,
}


def multi_vector(name):
    folder = emptied("multi_vector", name)
    config = of.bert(vocab_size=of.SIZE + MARKERS)
    with backbone(tf.AutoModel.from_config(config), "colbert", 128) as work:
        shutil.copytree(Path(work), folder / "model")
    LAYOUTS[name](folder / "model")
    model = MultiVectorEncoder(str(folder / "model"), device="cpu")
    queries = [torch.tensor(rows) for rows in one_by_one(model.encode_query, TEXTS[:QUERIES])]
    documents = [torch.tensor(rows) for rows in one_by_one(model.encode_document, TEXTS)]
    np.save(folder / "maxsim.npy", np.asarray(model.similarity(queries, documents)).astype(np.float32))
    model.double()
    for kind, encode in (("query", model.encode_query), ("document", model.encode_document)):
        rows = one_by_one(encode, TEXTS)
        np.save(folder / f"{kind}_values64.npy", np.concatenate(rows).astype(np.float64))
        write_json(folder / f"{kind}_lengths.json", [len(each) for each in rows])
    write_json(folder / "texts.json", TEXTS)
    print(f"multi_vector/{name}")
