"""Models that score pairs: `rerank/`."""

import numpy as np
import torch
import transformers as tf
from sentence_transformers import CrossEncoder

from . import networks as of
from .files import backbone, emptied, save, write_case
from .texts import PAIRS

LENGTH = 96
# By name: the config, whose `num_labels` is that of the scores, and the vocabulary.
CASES = {
    "rerank-albert": (of.albert(embedding_size=16, num_labels=1), "pieces"),
    "rerank-bert": (of.bert(num_labels=1), "words"),
    "rerank-bert-3-labels": (of.bert(num_labels=3), "words"),
    # BertTokenizer gives token types, 0 for the first text and 1 for the second; the others' generic class gives none.
    "rerank-bert-token-types": (of.bert(num_labels=1), "typed"),
    "rerank-camembert": (of.camembert(num_labels=1), "pieces"),
    "rerank-deberta-v2": (of.deberta(num_labels=1), "pieces"),
    "rerank-distilbert": (of.distilbert(num_labels=1), "words"),
    "rerank-electra": (of.electra(embedding_size=16, num_labels=1), "typed"),
    "rerank-gte": (of.gte(num_labels=1), "pieces"),
    "rerank-modernbert": (of.modernbert(num_hidden_layers=3, num_labels=1), "modern"),
    "rerank-mpnet-2-labels": (of.mpnet(num_labels=2), "mpnet"),
    "rerank-nomic-bert": (of.nomic_bert(num_labels=1), "words"),
    "rerank-qwen3": (of.qwen3(num_labels=1), "modern"),
    "rerank-roberta": (of.roberta(num_labels=1), "roberta"),
    "rerank-xlm-roberta": (of.xlm_roberta(num_labels=1), "pieces"),
}


def rerank(name):
    folder, (config, vocabulary) = emptied("rerank", name), CASES[name]
    network = tf.AutoModelForSequenceClassification.from_config(config)
    with backbone(network, vocabulary, LENGTH) as work:
        path = save(CrossEncoder(work, device="cpu", max_length=LENGTH), folder)
    model = CrossEncoder(path, device="cpu")
    logits = model.predict(PAIRS, batch_size=1, activation_fn=torch.nn.Identity())
    np.save(folder / "expected_logits.npy", logits.astype(np.float32))
    scores = model.double().predict(PAIRS, batch_size=1, convert_to_tensor=True).numpy()
    meta = {"model_type": config.model_type, "num_labels": config.num_labels, "max_length": model.max_seq_length}
    write_case(folder, PAIRS, scores.astype(np.float64), meta)
