"""The table of the models of sentence embeddings, but for those in `static.py` and `rewritten.py`."""

import transformers as tf
from sentence_transformers.sentence_transformer import modules
from sentence_transformers.sentence_transformer.modules import LayerNorm, Normalize, Pooling, WeightedLayerPooling
from torch.nn import Identity

from . import networks as of
from .dense import Dense
from .networks import SMALL, WIDTH, yarn

CLS, MAX, MEAN, SQRT_LEN, WEIGHTED_MEAN, LAST = (
    Pooling(WIDTH, mode) for mode in ("cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")
)
NORMALIZE = Normalize()
CLS_NORMALIZE, MEAN_NORMALIZE = [CLS, NORMALIZE], [MEAN, NORMALIZE]
# Gemma 3 has rotary positions for each type of layer.
STRETCHED = {
    "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1000000.0},
    "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
}


def linear(width, to):
    """A layer without bias and activation."""
    return modules.Dense(width, to, bias=False, activation_function=Identity())


# Every module behind a transformer, and every pooling.
MODULES = {
    "bert-mean-normalize": Dense(of.bert(), "words", MEAN_NORMALIZE),
    "bert-cls-normalize-prompts": Dense(
        of.bert(),
        "words",
        CLS_NORMALIZE,
        128,
        {
            "prompts": {"query": "Represent this sentence for searching relevant passages: ", "document": ""},
            "default_prompt_name": "query",
        },
    ),
    "bert-cased-max": Dense(of.bert(), "cased", [MAX], 96),
    "bert-mean-sqrt-len": Dense(of.bert(), "words", [SQRT_LEN]),
    "bert-weightedmean": Dense(of.bert(), "words", [WEIGHTED_MEAN]),
    "bert-lasttoken": Dense(of.bert(), "words", [LAST]),
    "bert-multi-pooling": Dense(of.bert(), "words", [Pooling(WIDTH, ("cls", "max", "mean"))]),
    "bert-prompt-excluded": Dense(
        of.bert(),
        "words",
        [Pooling(WIDTH, "mean", include_prompt=False), NORMALIZE],
        options={"prompts": {"query": "query: ", "passage": "passage: "}, "default_prompt_name": "passage"},
    ),
    "bert-dense-tanh": Dense(of.bert(), "cased", [MEAN, modules.Dense(WIDTH, 24)]),
    "bert-cls-dense-normalize": Dense(of.bert(), "cased", [CLS, modules.Dense(WIDTH, WIDTH), NORMALIZE]),
    "bert-dense-identity-nobias": Dense(of.bert(), "words", [MEAN, linear(WIDTH, 64), NORMALIZE]),
    "bert-layernorm": Dense(of.bert(), "words", [MEAN, LayerNorm(WIDTH)]),
    "bert-weighted-layers": Dense(
        of.bert(num_hidden_layers=3),
        "words",
        [WeightedLayerPooling(WIDTH, num_hidden_layers=3, layer_start=1), MEAN, NORMALIZE],
    ),
    "bert-truncate-dim": Dense(of.bert(), "words", MEAN_NORMALIZE, options={"truncate_dim": 16}),
    "bert-gelu-new": Dense(of.bert(hidden_act="gelu_new"), "words", MEAN_NORMALIZE),
    "bert-relu-eps": Dense(of.bert(hidden_act="relu", layer_norm_eps=1e-5), "words", MEAN_NORMALIZE),
    "bert-unigram": Dense(of.bert(), "pieces", [MEAN], 100),
    "bert-typed-tokenizer": Dense(of.bert(), "typed", MEAN_NORMALIZE),
}

# Every family as its models have it.
FAMILIES = {
    "albert-mean": Dense(of.albert(), "pieces", [MEAN], 100),
    "camembert-mean": Dense(of.camembert(), "pieces", [MEAN], 128),
    "deberta-v2-mean": Dense(of.deberta(), "pieces", [MEAN], 100),
    "distilbert-mean-normalize": Dense(of.distilbert(), "words", MEAN_NORMALIZE, 128),
    "distilbert-dense-tanh": Dense(of.distilbert(), "cased", [MEAN, modules.Dense(WIDTH, 24)], 128),
    "electra-cls": Dense(of.electra(), "words", [CLS], 100),
    "eurobert-mean": Dense(of.eurobert(), "modern", [MEAN], 200),
    "gemma3-mean-dense2-normalize": Dense(
        of.gemma3(
            num_key_value_heads=1,
            head_dim=16,
            query_pre_attn_scalar=16,
            sliding_window=16,
            layer_types=["sliding_attention", "sliding_attention", "full_attention"],
            use_bidirectional_attention=True,
        ),
        "modern",
        [MEAN, linear(WIDTH, 64), linear(64, WIDTH), NORMALIZE],
        200,
        {"prompts": {"query": "task: search result | query: ", "document": "title: none | text: "}},
    ),
    "gte-cls-normalize": Dense(of.gte(), "pieces", CLS_NORMALIZE, 200),
    "jina-v3-mean-normalize": Dense(of.jina_v3(), "pieces", MEAN_NORMALIZE, 200),
    "modernbert-mean": Dense(of.modernbert(num_hidden_layers=4, global_attn_every_n_layers=3), "modern", [MEAN], 256),
    "modernbert-cls-normalize": Dense(
        of.modernbert(num_hidden_layers=4, local_attention=8, global_attn_every_n_layers=2),
        "modern",
        CLS_NORMALIZE,
        256,
    ),
    "mpnet-mean-normalize": Dense(of.mpnet(), "mpnet", MEAN_NORMALIZE, 128),
    "mpnet-cls-dot": Dense(
        of.mpnet(num_attention_heads=2, num_hidden_layers=3), "mpnet", [CLS], 128, {"similarity_fn_name": "dot"}
    ),
    "nomic-bert-mean-normalize": Dense(
        of.nomic_bert(),
        "words",
        MEAN_NORMALIZE,
        200,
        {"prompts": {"search_query": "search_query: ", "search_document": "search_document: "}},
    ),
    "qwen3-lasttoken-normalize": Dense(of.qwen3(num_hidden_layers=3), "modern", [LAST, NORMALIZE], 200),
    "roberta-mean-normalize": Dense(of.roberta(), "roberta", MEAN_NORMALIZE, 128),
    "t5-mean-dense-normalize": Dense(of.t5(), "t5", [MEAN, linear(WIDTH, 24), NORMALIZE], 128),
    "t5-gated-mean": Dense(of.t5(feed_forward_proj="gated-gelu"), "t5", MEAN_NORMALIZE, 128),
    "xlm-roberta-mean": Dense(of.xlm_roberta(), "pieces", [MEAN], 128),
    "xlm-roberta-cls-normalize": Dense(of.xlm_roberta(), "pieces", CLS_NORMALIZE, None, model_max_length=120),
}

# Other values of the keys in config.json that change what is computed.
CONFIGS = {
    "albert-groups": Dense(
        of.albert(
            num_attention_heads=2,
            num_hidden_layers=5,
            embedding_size=32,
            num_hidden_groups=2,
            inner_group_num=2,
            hidden_act="relu",
        ),
        "pieces",
        [CLS],
        100,
    ),
    "deberta-v2-absolute": Dense(
        tf.DebertaV2Config(**SMALL, pos_att_type=["p2c", "c2p"], position_biased_input=True), "pieces", [MEAN], 100
    ),
    "deberta-v2-apart": Dense(
        tf.DebertaV2Config(
            **{**SMALL, "max_position_embeddings": 600},
            relative_attention=True,
            position_buckets=32,
            pos_att_type="c2p|p2c",
            share_att_key=False,
            position_biased_input=True,
            type_vocab_size=2,
            norm_rel_ebd="none",
        ),
        "pieces",
        MEAN_NORMALIZE,
        500,
    ),
    "deberta-v2-p2c": Dense(
        tf.DebertaV2Config(
            **{**SMALL, "max_position_embeddings": 512},
            relative_attention=True,
            max_relative_positions=50,
            position_buckets=24,
            pos_att_type=["p2c"],
            share_att_key=False,
            position_biased_input=False,
        ),
        "pieces",
        [MEAN],
        300,
    ),
    "eurobert-shared-keys-biased": Dense(
        of.eurobert(num_key_value_heads=1, head_dim=16, attention_bias=True, mlp_bias=True),
        "modern",
        MEAN_NORMALIZE,
        200,
    ),
    "eurobert-yarn": Dense(
        of.eurobert(
            num_attention_heads=2,
            rope_parameters=yarn(
                8.0, 32, beta_fast=16.0, beta_slow=2.0, mscale=0.7, mscale_all_dim=0.3, truncate=False
            ),
        ),
        "modern",
        [CLS],
        200,
    ),
    "gemma3-bidirectional-odd-window": Dense(
        of.gemma3(
            num_key_value_heads=4,
            head_dim=8,
            query_pre_attn_scalar=8,
            sliding_window=9,
            sliding_window_pattern=2,
            rope_parameters=STRETCHED,
            use_bidirectional_attention=True,
        ),
        "modern",
        MEAN_NORMALIZE,
        250,
    ),
    "gemma3-causal": Dense(
        of.gemma3(
            num_key_value_heads=2,
            head_dim=8,
            query_pre_attn_scalar=20,
            sliding_window=7,
            attention_bias=True,
            layer_types=["full_attention", "sliding_attention", "full_attention"],
        ),
        "modern",
        [LAST],
        250,
    ),
    "gte-yarn-no-types": Dense(
        of.gte(num_attention_heads=2, type_vocab_size=0, rope_parameters=yarn(4.0, 64)), "pieces", [MEAN], 200
    ),
    "jina-v3-llama3-rope": Dense(
        of.jina_v3(
            num_attention_heads=2,
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
        "pieces",
        [MEAN],
        200,
    ),
    "modernbert-biased": Dense(
        of.modernbert(
            num_hidden_layers=4,
            num_attention_heads=2,
            intermediate_size=48,
            local_attention=5,
            global_attn_every_n_layers=2,
            attention_bias=True,
            mlp_bias=True,
            norm_bias=True,
            hidden_activation="silu",
        ),
        "modern",
        [MEAN],
        400,
    ),
    "modernbert-cls-window": Dense(
        of.modernbert(num_hidden_layers=4, intermediate_size=48, local_attention=64, global_attn_every_n_layers=3),
        "modern",
        CLS_NORMALIZE,
        500,
    ),
    "nomic-bert-narrow-heads": Dense(
        of.nomic_bert(
            num_hidden_layers=3,
            num_attention_heads=2,
            intermediate_size=80,
            head_dim=8,
            hidden_act="gelu",
            rope_parameters={"rope_type": "linear", "factor": 2.0, "rope_theta": 500.0},
        ),
        "words",
        [CLS],
        200,
    ),
    "qwen3-sliding": Dense(
        of.qwen3(
            num_hidden_layers=3,
            num_key_value_heads=1,
            head_dim=12,
            attention_bias=True,
            use_sliding_window=True,
            sliding_window=9,
            max_window_layers=1,
        ),
        "modern",
        [MEAN],
        250,
    ),
    "t5-small-buckets": Dense(
        of.t5(
            d_kv=16,
            d_ff=40,
            num_layers=3,
            num_heads=3,
            relative_attention_num_buckets=10,
            relative_attention_max_distance=20,
            feed_forward_proj="gated-silu",
        ),
        "t5",
        MEAN_NORMALIZE,
        600,
    ),
}
DENSE = {**MODULES, **FAMILIES, **CONFIGS}
