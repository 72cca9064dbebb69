"""Models without a transformer: a row of a table for each token."""

import torch
from safetensors.torch import save_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, StaticEmbedding

from .dense import expect
from .files import emptied, save
from .storage import write_json
from .texts import TEXTS
from .vocabularies import SIZE, bare
from .weights import normal


def static_embedding(name):
    folder = emptied("tiny", name)
    table = StaticEmbedding(bare("words"), embedding_weights=normal("embedding", SIZE, 64).numpy())
    model = SentenceTransformer(save(SentenceTransformer(modules=[table], device="cpu"), folder), device="cpu")
    expect(folder, model, TEXTS, "SentenceTransformer")


def model2vec(name):
    """A table smaller than the vocabulary, with the row and the weight of each token, in model2vec's files."""
    folder, rows = emptied("tiny", name), 60
    tensors = {
        "embeddings": normal("embeddings", rows, 24),
        "mapping": torch.arange(SIZE) * 7 % rows,
        "weights": normal("weights", SIZE).abs(),
    }
    model = folder / "model"
    model.mkdir()
    save_file(tensors, model / "model.safetensors")
    bare("words").save(str(model / "tokenizer.json"))
    config = {"model_type": "model2vec", "architectures": ["StaticModel"], "tokenizer_name": "none", "hidden_dim": 24}
    more = {"apply_pca": 24, "apply_zipf": True, "seq_length": 1000000, "normalize": True}
    write_json(model / "config.json", {**config, **more})
    modules = [StaticEmbedding.from_model2vec(str(model)), Normalize()]
    expect(folder, SentenceTransformer(modules=modules, device="cpu"), TEXTS, "SentenceTransformer")


STATIC = {"static-embedding": static_embedding, "static-model2vec": model2vec}
