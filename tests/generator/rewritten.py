"""Other cases' models in other files with the same numbers: layouts and keys of older releases."""

import shutil

import numpy as np
import torch
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer

from . import networks as of
from .files import emptied
from .storage import DATA, read_json, write_json

POOLING_FLAGS = {
    "cls": "pooling_mode_cls_token",
    "mean": "pooling_mode_mean_tokens",
    "max": "pooling_mode_max_tokens",
    "mean_sqrt_len_tokens": "pooling_mode_mean_sqrt_len_tokens",
}
LINEAR_KEYS = ["in_features", "out_features", "bias", "activation_function"]
VERSION_2 = {"__version__": {"sentence_transformers": "2.0.0", "transformers": "4.6.1", "pytorch": "1.8.1"}}


def older_config(module, config):
    """A module's config as sentence-transformers 2 wrote it."""
    match module:
        case "Pooling":
            flags = {flag: mode == config["pooling_mode"] for mode, flag in POOLING_FLAGS.items()}
            return {"word_embedding_dimension": config["embedding_dimension"], **flags}
        case "Dense":
            return {key: config[key] for key in LINEAR_KEYS}
    return config


def legacy(model):
    """The layout of sentence-transformers 2: types of modules, flags of pooling, pytorch_model.bin."""
    length = read_json(model.parent / "meta.json")["max_seq_length"]
    modules = read_json(model / "modules.json")
    for module in modules:
        name, folder = module["type"].rsplit(".", 1)[1], model / module["path"]
        module["type"] = f"sentence_transformers.models.{name}"
        if name == "Normalize":
            shutil.rmtree(folder)
            continue
        write_json(folder / "config.json", older_config(name, read_json(folder / "config.json")))
        weights = folder / "model.safetensors"
        if weights.exists():
            torch.save(load_file(weights), folder / "pytorch_model.bin")
            weights.unlink()
    write_json(model / "modules.json", modules)
    write_json(model / "sentence_bert_config.json", {"max_seq_length": length, "do_lower_case": False})
    write_json(model / "config_sentence_transformers.json", VERSION_2)


def vocabulary_only(model):
    """vocab.txt in place of tokenizer.json."""
    tokens = read_json(model / "tokenizer.json")["model"]["vocab"]
    (model / "vocab.txt").write_text("\n".join(sorted(tokens, key=tokens.get)) + "\n", encoding="utf-8")
    (model / "tokenizer.json").unlink()


# Configs with the keys that files on the hub have.
NOMIC_BERT = {
    "activation_function": "swiglu",
    "architectures": ["NomicBertModel"],
    "causal": False,
    "layer_norm_epsilon": 1e-12,
    "max_trained_positions": 256,
    "mlp_fc1_bias": False,
    "mlp_fc2_bias": False,
    "model_type": "nomic_bert",
    "n_embd": of.WIDTH,
    "n_head": 4,
    "n_inner": 64,
    "n_layer": 2,
    "n_positions": 256,
    "parallel_block": False,
    "prenorm": False,
    "qkv_proj_bias": False,
    "rotary_emb_base": 1000,
    "rotary_emb_fraction": 1.0,
    "rotary_emb_interleaved": False,
    "rotary_emb_scale_base": None,
    "rotary_scaling_factor": None,
    "type_vocab_size": 2,
    "use_rms_norm": False,
    "vocab_size": of.SIZE,
}
MODERNBERT = {
    "architectures": ["ModernBertForMaskedLM"],
    "attention_bias": False,
    "bos_token_id": 1,
    "cls_token_id": 1,
    "embedding_dropout": 0.0,
    "eos_token_id": 2,
    "global_attn_every_n_layers": 3,
    "global_rope_theta": 160000.0,
    "gradient_checkpointing": False,
    "hidden_activation": "gelu",
    "hidden_size": of.WIDTH,
    "intermediate_size": 64,
    "layer_norm_eps": 1e-05,
    "local_attention": 16,
    "local_rope_theta": 10000.0,
    "max_position_embeddings": 512,
    "mlp_bias": False,
    "model_type": "modernbert",
    "norm_bias": False,
    "norm_eps": 1e-05,
    "num_attention_heads": 4,
    "num_hidden_layers": 4,
    "pad_token_id": 0,
    "position_embedding_type": "absolute",
    "sep_token_id": 2,
    "tie_word_embeddings": True,
    "torch_dtype": "float32",
    "vocab_size": of.SIZE,
}
QWEN3 = {
    "architectures": ["Qwen3ForCausalLM"],
    "attention_bias": False,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "head_dim": 16,
    "hidden_act": "silu",
    "hidden_size": of.WIDTH,
    "intermediate_size": 96,
    "max_position_embeddings": 256,
    "max_window_layers": 3,
    "model_type": "qwen3",
    "num_attention_heads": 4,
    "num_hidden_layers": 3,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-06,
    "rope_scaling": None,
    "rope_theta": 10000.0,
    "sliding_window": None,
    "tie_word_embeddings": True,
    "torch_dtype": "float32",
    "use_cache": True,
    "use_sliding_window": False,
    "vocab_size": of.SIZE,
}


def hub(config):
    return lambda model: write_json(model / "config.json", config)


# By name: the case that is rewritten, and how.
CASES = {
    "hub-config-modernbert": ("modernbert-mean", hub(MODERNBERT)),
    "hub-config-nomic-bert": ("nomic-bert-mean-normalize", hub(NOMIC_BERT)),
    "hub-config-qwen3": ("qwen3-lasttoken-normalize", hub(QWEN3)),
    "legacy-bert-cls-dense-normalize": ("bert-cls-dense-normalize", legacy),
    "legacy-bert-mean-normalize": ("bert-mean-normalize", legacy),
    "legacy-distilbert-dense-tanh": ("distilbert-dense-tanh", legacy),
    "legacy-mpnet-mean-normalize": ("mpnet-mean-normalize", legacy),
    "legacy-xlm-roberta-mean": ("xlm-roberta-mean", legacy),
    "vocab-only-bert": ("bert-typed-tokenizer", vocabulary_only),
}
# transformers reads other keys, with which this model is on the hub beside code of its own.
UNREADABLE = {"hub-config-nomic-bert"}


def rewritten(name):
    folder, (source, rewrite) = emptied("tiny", name), CASES[name]
    shutil.copytree(DATA / "tiny" / source, folder, dirs_exist_ok=True)
    rewrite(folder / "model")
    if name not in UNREADABLE:
        model = SentenceTransformer(str(folder / "model"), device="cpu")
        got = model.double().encode(read_json(folder / "texts.json"), batch_size=1)
        assert np.abs(got - np.load(folder / "expected64.npy")).max() < 1e-12, name
    print(f"tiny/{name} of {source}")
