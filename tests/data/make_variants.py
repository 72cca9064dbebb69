"""Makes the cases of tests/data whose configs and heads the first references leave out, with sentence-transformers.

    python make_variants.py OUT [NAME ...]

Small random models, the tokenizers of other cases, and what sentence-transformers computes: OUT/tiny, OUT/rerank and
OUT/sparse hold a folder a case. Needs torch, transformers 5.23 and sentence-transformers 6.2. Every run's weights are
others, so the cases that are there are not made again without a reason.
"""

import json
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
import transformers as tf
from sentence_transformers import CrossEncoder, SentenceTransformer, SparseEncoder
from sentence_transformers.models import Normalize, Pooling, Transformer
from sentence_transformers.sparse_encoder.modules import MLMTransformer, SpladePooling

HERE = Path(__file__).parent
TEXTS = json.loads((HERE / "tiny/bert-mean-normalize/texts.json").read_text(encoding="utf-8"))
PAIRS = [[text, TEXTS[(7 * i + 3) % len(TEXTS)]] for i, text in enumerate(TEXTS)]
# The case whose tokenizer a family takes.
WORDS, BYTES, PIECES, T5, ROBERTA, MPNET = (
    "bert-mean-normalize",
    "modernbert-mean",
    "xlm-roberta-mean",
    "t5-gated-mean",
    "roberta-mean-normalize",
    "mpnet-mean-normalize",
)
SMALL = {
    "vocab_size": 420,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 140,
}
MODERN = {"pad_token_id": 0, "cls_token_id": 1, "sep_token_id": 2, "bos_token_id": 1, "eos_token_id": 2}
CAUSAL = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
PAD_ONE = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}
DEBERTA = {"relative_attention": True}


def yarn(factor, length, **more):
    return {
        "rope_type": "yarn",
        "factor": factor,
        "original_max_position_embeddings": length,
        "rope_theta": 10000.0,
        **more,
    }


# By name: the config, the tokenizer, pooling, whether it is normalized, the longest text in tokens.
DENSE = {
    "albert-groups": (
        tf.AlbertConfig(
            **{**SMALL, "num_attention_heads": 2, "num_hidden_layers": 5},
            embedding_size=32,
            num_hidden_groups=2,
            inner_group_num=2,
            hidden_act="relu",
        ),
        PIECES,
        "cls",
        False,
        100,
    ),
    "deberta-v2-absolute": (
        tf.DebertaV2Config(**SMALL, pos_att_type=["p2c", "c2p"], position_biased_input=True),
        PIECES,
        "mean",
        False,
        100,
    ),
    "deberta-v2-apart": (
        tf.DebertaV2Config(
            **{**SMALL, "max_position_embeddings": 600},
            **DEBERTA,
            position_buckets=32,
            pos_att_type="c2p|p2c",
            share_att_key=False,
            position_biased_input=True,
            type_vocab_size=2,
        ),
        PIECES,
        "mean",
        True,
        500,
    ),
    "deberta-v2-p2c": (
        tf.DebertaV2Config(
            **{**SMALL, "max_position_embeddings": 512},
            **DEBERTA,
            max_relative_positions=50,
            position_buckets=24,
            pos_att_type=["p2c"],
            share_att_key=False,
            position_biased_input=False,
        ),
        PIECES,
        "mean",
        False,
        300,
    ),
    "eurobert-shared-keys-biased": (
        tf.EuroBertConfig(
            **{**SMALL, "max_position_embeddings": 256},
            **CAUSAL,
            num_key_value_heads=1,
            head_dim=16,
            attention_bias=True,
            mlp_bias=True,
        ),
        BYTES,
        "mean",
        True,
        200,
    ),
    "eurobert-yarn": (
        tf.EuroBertConfig(
            **{**SMALL, "max_position_embeddings": 256, "num_attention_heads": 2},
            **CAUSAL,
            rope_parameters=yarn(
                8.0, 32, beta_fast=16.0, beta_slow=2.0, mscale=0.7, mscale_all_dim=0.3, truncate=False
            ),
        ),
        BYTES,
        "cls",
        False,
        200,
    ),
    "gemma3-bidirectional-odd-window": (
        tf.Gemma3TextConfig(
            **{**SMALL, "max_position_embeddings": 256, "num_hidden_layers": 3},
            **CAUSAL,
            num_key_value_heads=4,
            head_dim=8,
            query_pre_attn_scalar=8,
            sliding_window=9,
            sliding_window_pattern=2,
            use_bidirectional_attention=True,
        ),
        BYTES,
        "mean",
        True,
        250,
    ),
    "gemma3-causal": (
        tf.Gemma3TextConfig(
            **{**SMALL, "max_position_embeddings": 256, "num_hidden_layers": 3},
            **CAUSAL,
            num_key_value_heads=2,
            head_dim=8,
            query_pre_attn_scalar=20,
            sliding_window=7,
            attention_bias=True,
            layer_types=["full_attention", "sliding_attention", "full_attention"],
        ),
        BYTES,
        "lasttoken",
        False,
        250,
    ),
    "gte-yarn-no-types": (
        tf.GteConfig(
            **{**SMALL, "max_position_embeddings": 256, "num_attention_heads": 2},
            type_vocab_size=0,
            rope_parameters=yarn(4.0, 64),
        ),
        PIECES,
        "mean",
        False,
        200,
    ),
    "jina-v3-llama3-rope": (
        tf.JinaEmbeddingsV3Config(
            **{**SMALL, "max_position_embeddings": 256, "num_attention_heads": 2},
            type_vocab_size=2,
            rope_parameters={
                "rope_type": "llama3",
                "factor": 8.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 64,
                "rope_theta": 1000.0,
            },
        ),
        PIECES,
        "mean",
        False,
        200,
    ),
    "modernbert-biased": (
        tf.ModernBertConfig(
            **{**SMALL, "max_position_embeddings": 512, "num_hidden_layers": 4, "num_attention_heads": 2},
            **MODERN,
            local_attention=5,
            global_attn_every_n_layers=2,
            attention_bias=True,
            mlp_bias=True,
            norm_bias=True,
            hidden_activation="silu",
        ),
        BYTES,
        "mean",
        False,
        400,
    ),
    "modernbert-cls-window": (
        tf.ModernBertConfig(
            **{**SMALL, "max_position_embeddings": 512, "num_hidden_layers": 4},
            **MODERN,
            local_attention=64,
            global_attn_every_n_layers=3,
        ),
        BYTES,
        "cls",
        True,
        500,
    ),
    "nomic-bert-narrow-heads": (
        tf.NomicBertConfig(
            **{**SMALL, "max_position_embeddings": 256, "num_hidden_layers": 3, "num_attention_heads": 2},
            head_dim=8,
            hidden_act="gelu",
            rope_parameters={"rope_type": "linear", "factor": 2.0, "rope_theta": 500.0},
        ),
        WORDS,
        "cls",
        False,
        200,
    ),
    "qwen3-sliding": (
        tf.Qwen3Config(
            **{**SMALL, "max_position_embeddings": 256, "num_hidden_layers": 3},
            **CAUSAL,
            num_key_value_heads=1,
            head_dim=12,
            attention_bias=True,
            use_sliding_window=True,
            sliding_window=9,
            max_window_layers=1,
        ),
        BYTES,
        "mean",
        False,
        250,
    ),
    "t5-small-buckets": (
        tf.T5Config(
            vocab_size=420,
            d_model=32,
            d_kv=16,
            d_ff=40,
            num_layers=3,
            num_heads=3,
            relative_attention_num_buckets=10,
            relative_attention_max_distance=20,
            feed_forward_proj="gated-silu",
            pad_token_id=0,
            eos_token_id=1,
        ),
        T5,
        "mean",
        True,
        600,
    ),
}
ALBERT = tf.AlbertConfig(**SMALL, embedding_size=16, num_labels=1)
CAMEMBERT = tf.CamembertConfig(**SMALL, **PAD_ONE, type_vocab_size=1, num_labels=1)
MPNET_CONFIG = tf.MPNetConfig(**SMALL, **PAD_ONE, num_labels=1)
MODERNBERT = tf.ModernBertConfig(
    **{**SMALL, "max_position_embeddings": 256}, **MODERN, classifier_bias=True, norm_bias=True, local_attention=16
)
# By name: the config and the tokenizer.
RERANK = {
    "rerank-albert": (ALBERT, PIECES),
    "rerank-camembert": (CAMEMBERT, PIECES),
    "rerank-gte": (tf.GteConfig(**SMALL, num_labels=1), PIECES),
    "rerank-mpnet-2-labels": (tf.MPNetConfig(**SMALL, **PAD_ONE, num_labels=2), MPNET),
    "rerank-nomic-bert": (tf.NomicBertConfig(**SMALL, num_labels=1), WORDS),
}
# By name: the config, the tokenizer, and pooling.
SPARSE = {
    "splade-albert": (ALBERT, PIECES, "max"),
    "splade-camembert": (CAMEMBERT, PIECES, "sum"),
    "splade-electra": (tf.ElectraConfig(**SMALL, embedding_size=24), WORDS, "max"),
    "splade-modernbert": (MODERNBERT, BYTES, "max"),
    "splade-mpnet": (MPNET_CONFIG, MPNET, "max"),
    "splade-roberta": (tf.RobertaConfig(**SMALL, **PAD_ONE, type_vocab_size=1), ROBERTA, "max"),
    "splade-roberta-untied": (
        tf.RobertaConfig(**SMALL, **PAD_ONE, type_vocab_size=1, tie_word_embeddings=False),
        ROBERTA,
        "max",
    ),
    "splade-xlm-roberta": (tf.XLMRobertaConfig(**SMALL, **PAD_ONE, type_vocab_size=1), PIECES, "max"),
}


def enlivened(network):
    """Random weights so far from zero that each of them shows in the output."""
    with torch.no_grad():
        for name, weight in network.named_parameters():
            norm = weight.dim() == 1 and "norm" in name.lower() and name.endswith("weight")
            weight.normal_(1.0 if norm else 0.0, 0.12 if weight.dim() > 1 else 0.1)
    return network


def saved(network, tokenizer, folder):
    network.save_pretrained(folder)
    tokenizer = tf.AutoTokenizer.from_pretrained(HERE / "tiny" / tokenizer / "model")
    tokenizer.model_max_length = 10**6
    tokenizer.save_pretrained(folder)


def write(folder, expected, expected64, texts, meta):
    np.save(folder / "expected64.npy", expected64.astype(np.float64))
    (folder / "texts.json").write_text(json.dumps(texts, indent=0) + "\n", encoding="utf-8")
    meta["n"] = len(texts)
    meta["float32_vs_float64_max_abs"] = float(np.abs(expected - expected64).max())
    (folder / "meta.json").write_text(json.dumps(meta, indent=1) + "\n", encoding="utf-8")
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) // 1024
    print(f"{folder.name:34} {expected.shape} {meta['float32_vs_float64_max_abs']:.1e} {size} kB")


def dense(folder, work, case):
    config, tokenizer, pooling, normalized, length = case
    saved(enlivened(tf.AutoModel.from_config(config)), tokenizer, work)
    width = getattr(config, "hidden_size", None) or config.d_model
    modules = [Transformer(str(work), max_seq_length=length), Pooling(width, pooling_mode=pooling)]
    SentenceTransformer(modules=modules + [Normalize()] * normalized).save_pretrained(
        str(folder / "model"), create_model_card=False
    )
    model = SentenceTransformer(str(folder / "model"), device="cpu")
    expected = model.encode(TEXTS, batch_size=1)
    ids = [np.asarray(model.preprocess([text])["input_ids"]).reshape(-1).tolist() for text in TEXTS]
    (folder / "token_ids.json").write_text(json.dumps(ids) + "\n", encoding="utf-8")
    meta = {"model_type": config.model_type, "max_seq_length": length, "dim": expected.shape[1]}
    write(folder, expected, model.double().encode(TEXTS, batch_size=1), TEXTS, meta)


def rerank(folder, work, case):
    config, tokenizer = case
    saved(enlivened(tf.AutoModelForSequenceClassification.from_config(config)), tokenizer, work)
    CrossEncoder(str(work), device="cpu", max_length=96).save_pretrained(str(folder / "model"))
    model = CrossEncoder(str(folder / "model"), device="cpu")
    expected = model.predict(PAIRS, batch_size=1)
    logits = model.predict(PAIRS, batch_size=1, activation_fn=torch.nn.Identity())
    np.save(folder / "expected_logits.npy", logits.astype(np.float32))
    meta = {"model_type": config.model_type, "num_labels": config.num_labels, "max_length": model.max_seq_length}
    exact = model.double().predict(PAIRS, batch_size=1, convert_to_tensor=True).numpy()
    write(folder, expected, exact, PAIRS, {**meta, "activation_fn": str(model.activation_fn)})


def sparse(folder, work, case):
    config, tokenizer, pooling = case
    saved(enlivened(tf.AutoModelForMaskedLM.from_config(config)), tokenizer, work)
    modules = [MLMTransformer(str(work), max_seq_length=96), SpladePooling(pooling_strategy=pooling)]
    SparseEncoder(modules=modules).save_pretrained(str(folder / "model"), create_model_card=False)
    model = SparseEncoder(str(folder / "model"), device="cpu")

    def rows():
        return np.stack([model.encode([text], convert_to_sparse_tensor=False)[0].numpy() for text in TEXTS])

    expected = rows()
    meta = {"model_type": config.model_type, "max_seq_length": model.max_seq_length, "dim": expected.shape[1]}
    model.double()
    write(folder, expected, rows(), TEXTS, {**meta, "pooling_strategy": pooling})


def main(out, only):
    torch.manual_seed(7)
    for kind, cases, make in [("tiny", DENSE, dense), ("rerank", RERANK, rerank), ("sparse", SPARSE, sparse)]:
        for name, case in cases.items():
            if only and name not in only:
                continue
            folder = out / kind / name
            shutil.rmtree(folder, ignore_errors=True)
            with tempfile.TemporaryDirectory() as work:
                make(folder, Path(work), case)
            for readme in folder.rglob("README.md"):
                readme.unlink()


if __name__ == "__main__":
    main(Path(sys.argv[1]), set(sys.argv[2:]))
