"""Make the case of a causal Qwen2 of one that looks both ways, in float64 without torch.

    cd tests; python -m generator.causal

The forward pass must first agree with the numbers of `qwen2-both-ways-gte`, which others computed.
"""

import json
import shutil

import numpy as np

from . import storage
from .storage import DATA, read_json, write_json

SOURCE, NAME = DATA / "tiny/qwen2-both-ways-gte", DATA / "tiny/qwen2-causal"


def tensors(file):
    content = file.read_bytes()
    size = 8 + int.from_bytes(content[:8], "little")
    entries = json.loads(content[8:size])
    entries.pop("__metadata__", None)
    return {
        name: np.frombuffer(content[size + entry["data_offsets"][0] : size + entry["data_offsets"][1]], np.float32)
        .reshape(entry["shape"])
        .astype(np.float64)
        for name, entry in entries.items()
    }


def rms_norm(x, weight, eps):
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + eps) * weight


def rotated(x, theta):
    half = x.shape[-1] // 2
    angles = np.arange(len(x))[:, None] * theta ** (-np.arange(half) / half)
    cos, sin = np.cos(angles)[:, None], np.sin(angles)[:, None]
    left, right = x[..., :half], x[..., half:]
    return np.concatenate([left * cos - right * sin, right * cos + left * sin], -1)


def last_token(ids, of, config, causal):
    """The normalized embedding of a text."""
    heads, shared = config["num_attention_heads"], config["num_attention_heads"] // config["num_key_value_heads"]
    x, eps = of["embed_tokens.weight"][ids], config["rms_norm_eps"]
    hidden = np.triu(np.full((len(ids), len(ids)), -np.inf if causal else 0.0), 1)
    for i in range(config["num_hidden_layers"]):
        layer = {name.removeprefix(f"layers.{i}."): tensor for name, tensor in of.items()}
        h = rms_norm(x, layer["input_layernorm.weight"], eps)
        q, k, v = (
            (h @ layer[f"self_attn.{name}_proj.weight"].T + layer[f"self_attn.{name}_proj.bias"]).reshape(
                len(ids), -1, x.shape[1] // heads
            )
            for name in "qkv"
        )
        q, k = rotated(q, config["rope_theta"]), rotated(k, config["rope_theta"])
        k, v = np.repeat(k, shared, 1), np.repeat(v, shared, 1)
        scores = np.exp(np.einsum("qhd,khd->hqk", q, k) / np.sqrt(q.shape[-1]) + hidden)
        scores /= scores.sum(-1, keepdims=True)
        x = x + np.einsum("hqk,khd->qhd", scores, v).reshape(x.shape) @ layer["self_attn.o_proj.weight"].T
        h = rms_norm(x, layer["post_attention_layernorm.weight"], eps)
        gate = h @ layer["mlp.gate_proj.weight"].T
        x = x + (gate / (1 + np.exp(-gate)) * (h @ layer["mlp.up_proj.weight"].T)) @ layer["mlp.down_proj.weight"].T
    last = rms_norm(x, of["norm.weight"], eps)[-1]
    return last / np.linalg.norm(last)


def main():
    storage.unpack(DATA)
    config, of = read_json(SOURCE / "model/config.json"), tensors(SOURCE / "model/model.safetensors")
    every, meta = read_json(SOURCE / "token_ids.json"), read_json(SOURCE / "meta.json")
    both_ways = np.array([last_token(ids, of, config, causal=False) for ids in every])
    assert np.abs(both_ways - np.load(SOURCE / "expected64.npy")).max() < 1e-6
    shutil.rmtree(NAME, ignore_errors=True)
    shutil.copytree(SOURCE, NAME, ignore=shutil.ignore_patterns("expected64_prompt*"))
    write_json(NAME / "model/config.json", {key: config[key] for key in config if key not in ("auto_map", "is_causal")})
    write_json(NAME / "meta.json", {**meta, "how": "float64 in numpy, tests/generator/causal.py"})
    np.save(NAME / "expected64.npy", np.array([last_token(ids, of, config, causal=True) for ids in every]))
    storage.pack()


main()
