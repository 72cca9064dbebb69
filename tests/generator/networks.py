"""Configs of small networks: a function or a value for each family, whose arguments are keys of config.json."""

import transformers as tf

from .vocabularies import SIZE

WIDTH = 32
SMALL = {
    "vocab_size": SIZE,
    "hidden_size": WIDTH,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 140,
}
LONGER = {**SMALL, "max_position_embeddings": 256}
ROBERTA = {
    **SMALL,
    "max_position_embeddings": 142,
    "pad_token_id": 1,
    "bos_token_id": 0,
    "eos_token_id": 2,
    "type_vocab_size": 1,
}
CAUSAL = {**LONGER, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
MODERN = {**CAUSAL, "cls_token_id": 1, "sep_token_id": 2}
T5 = {
    "vocab_size": SIZE,
    "d_model": WIDTH,
    "d_kv": 8,
    "d_ff": 64,
    "num_layers": 2,
    "num_heads": 4,
    "relative_attention_num_buckets": 32,
    "pad_token_id": 0,
    "eos_token_id": 1,
}
DISTILBERT = {
    "vocab_size": SIZE,
    "dim": WIDTH,
    "n_layers": 2,
    "n_heads": 4,
    "hidden_dim": 64,
    "max_position_embeddings": 140,
}
DEBERTA = {
    **SMALL,
    "relative_attention": True,
    "position_buckets": 16,
    "pos_att_type": ["p2c", "c2p"],
    "norm_rel_ebd": "layer_norm",
    "share_att_key": True,
    "position_biased_input": False,
    "type_vocab_size": 0,
}


def family(config, keys):
    """A config's class with other defaults."""
    return lambda **changed: config(**{**keys, **changed})


albert = family(tf.AlbertConfig, {**SMALL, "embedding_size": 24})
bert = family(tf.BertConfig, SMALL)
camembert = family(tf.CamembertConfig, ROBERTA)
deberta = family(tf.DebertaV2Config, DEBERTA)
distilbert = family(tf.DistilBertConfig, DISTILBERT)
electra = family(tf.ElectraConfig, {**SMALL, "embedding_size": 24})
eurobert = family(tf.EuroBertConfig, {**CAUSAL, "num_key_value_heads": 2, "mask_token_id": 4})
gemma3 = family(tf.Gemma3TextConfig, {**CAUSAL, "num_hidden_layers": 3})
gte = family(tf.GteConfig, LONGER)
jina_v3 = family(tf.JinaEmbeddingsV3Config, LONGER)
modernbert = family(tf.ModernBertConfig, {**MODERN, "max_position_embeddings": 512, "local_attention": 16})
mpnet = family(tf.MPNetConfig, {**SMALL, "max_position_embeddings": 142})
nomic_bert = family(tf.NomicBertConfig, LONGER)
qwen3 = family(tf.Qwen3Config, {**CAUSAL, "num_key_value_heads": 2, "head_dim": 16, "intermediate_size": 96})
roberta = family(tf.RobertaConfig, ROBERTA)
t5 = family(tf.T5Config, T5)
xlm_roberta = family(tf.XLMRobertaConfig, ROBERTA)


def yarn(factor, length, **more):
    """Rotary positions stretched by YaRN."""
    original = {"original_max_position_embeddings": length, "rope_theta": 10000.0}
    return {"rope_type": "yarn", "factor": factor, **original, **more}
