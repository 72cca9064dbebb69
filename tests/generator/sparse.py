"""SPLADE models, whose embeddings are a weight for each token of the vocabulary: `sparse/`."""

import numpy as np
import torch
import transformers as tf
from sentence_transformers import SparseEncoder
from sentence_transformers.sparse_encoder.modules import MLMTransformer, Router, SparseStaticEmbedding, SpladePooling

from . import networks as of
from .files import backbone, emptied, one_by_one, save, write_case
from .texts import TEXTS
from .weights import normal

LENGTH = 96
# By name: the config, the vocabulary, and pooling.
CASES = {
    "splade-albert": (of.albert(embedding_size=16), "pieces", "max"),
    "splade-bert-max": (of.bert(), "words", "max"),
    "splade-camembert": (of.camembert(), "pieces", "sum"),
    "splade-distilbert-sum": (of.distilbert(), "words", "sum"),
    "splade-electra": (of.electra(), "words", "max"),
    "splade-modernbert": (
        of.modernbert(max_position_embeddings=256, classifier_bias=True, norm_bias=True),
        "modern",
        "max",
    ),
    "splade-mpnet": (of.mpnet(), "mpnet", "max"),
    "splade-roberta": (of.roberta(), "roberta", "max"),
    "splade-roberta-untied": (of.roberta(tie_word_embeddings=False), "roberta", "max"),
    # Documents go through the network, queries have one weight for each token.
    "splade-router-static-query": (of.bert(), "words", "max"),
    "splade-xlm-roberta": (of.xlm_roberta(), "pieces", "max"),
}


def modules(name, work, pooling):
    transformer, pooling = MLMTransformer(work, max_seq_length=LENGTH), SpladePooling(pooling_strategy=pooling)
    if "router" not in name:
        return [transformer, pooling]
    weights = SparseStaticEmbedding(tokenizer=transformer.tokenizer)
    with torch.no_grad():
        weights.weight.copy_(normal("weight", *weights.weight.shape).abs())
    return [Router.for_query_document(query_modules=[weights], document_modules=[transformer, pooling])]


def sparse(name):
    folder, (config, vocabulary, pooling) = emptied("sparse", name), CASES[name]
    network = tf.AutoModelForMaskedLM.from_config(config)
    with backbone(network, vocabulary, LENGTH) as work:
        path = save(SparseEncoder(modules=modules(name, work, pooling), device="cpu"), folder)
    model = SparseEncoder(path, device="cpu")

    def dense(encode):
        return np.stack(one_by_one(lambda texts: encode(texts, convert_to_sparse_tensor=False), TEXTS))

    if "router" in name:
        np.save(folder / "expected_query.npy", dense(model.encode_query).astype(np.float32))
    model.double()
    expected = dense(model.encode_document).astype(np.float64)
    meta = {"model_type": config.model_type, "max_seq_length": LENGTH, "dim": expected.shape[1]}
    write_case(folder, TEXTS, expected, meta)
