"""Speed of the families whose published code rushlight computes itself, beside BERT's, at the widths of a base model.

    .venv/bin/python benches/python/families.py [--threads 1] [--rounds 9] [NAME ...]

Needs safetensors, and the rushlight that is measured. All models have random weights, 3 layers of width 768 with 12
heads and a feed-forward block of 3072, and the same tokens: 64 texts as long as those of *mixed*. Models take turns,
with the peak between them. The share of the peak counts useful operations: of the experts, those that a token takes.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import statistics
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from harness import paths
from harness.contenders import Peak
from harness.workloads import lengths_of_mixed

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from rushlight import Model

WIDTH, MIDDLE, LAYERS, HEADS, HEAD, SHARED_HEADS = 768, 3072, 3, 12, 64, 4
EXPERTS, CHOSEN = 8, 2
TASKS, RANK = ["retrieval.query", "separation"], 4
TEXTS = 64
BERT = "bert"


class Checkpoint:
    """Random weights by name, and the operations of the linear layers for a token."""

    def __init__(self, words: int) -> None:
        self.words = words
        self.weights: dict[str, NDArray[np.float32]] = {}
        self.operations = 0.0
        self._numbers = np.random.default_rng(0)

    def linear(
        self, name: str, outputs: int, inputs: int, *, biased: bool = True, shape: tuple[int, int] | None = None
    ) -> None:
        """Add a linear layer, whose weight may have the shape of several such layers."""
        self.operations += 2 * outputs * inputs
        self._random(f"{name}.weight", *(shape or (outputs, inputs)))
        if biased:
            self._random(f"{name}.bias", outputs)

    def adapted(self, name: str, outputs: int, inputs: int) -> None:
        """Add a linear layer with a bias and an adapter for each task."""
        self.linear(name, outputs, inputs)
        own = f"{name}.parametrizations.weight"
        self.weights[f"{own}.original"] = self.weights.pop(f"{name}.weight")
        self._random(f"{own}.0.lora_A", len(TASKS), RANK, inputs)
        self._random(f"{own}.0.lora_B", len(TASKS), outputs, RANK)

    def norm(self, name: str, width: int = WIDTH, *, biased: bool = True) -> None:
        """Add a layer norm, or an RMS norm without a bias."""
        self.weights[f"{name}.weight"] = np.ones(width, np.float32)
        if biased:
            self.weights[f"{name}.bias"] = np.zeros(width, np.float32)

    def table(self, name: str, entries: int) -> None:
        """Add an embedding table."""
        self._random(f"{name}.weight", entries, WIDTH)

    def embeddings(self, norm: str, types: int = 0, prefix: str = "") -> None:
        """Add the tables of words and token types, and the norm of their sum."""
        self.table(f"{prefix}embeddings.word_embeddings", self.words)
        if types:
            self.table(f"{prefix}embeddings.token_type_embeddings", types)
        self.norm(f"{prefix}{norm}")

    def _random(self, name: str, *shape: int) -> None:
        numbers = self._numbers.standard_normal(shape, np.float32)
        self.weights[name] = numbers / np.float32(shape[-1]) ** np.float32(0.5)


def bert(add: Checkpoint) -> dict[str, Any]:
    """Add the weights of BERT, and return its config."""
    add.embeddings("embeddings.LayerNorm", types=2)
    add.table("embeddings.position_embeddings", 512)
    for layer in (f"encoder.layer.{i}" for i in range(LAYERS)):
        attention_of_bert(add, layer)
        add.linear(f"{layer}.intermediate.dense", MIDDLE, WIDTH)
        add.linear(f"{layer}.output.dense", WIDTH, MIDDLE)
        add.norm(f"{layer}.output.LayerNorm")
    return {"model_type": "bert"}


def attention_of_bert(add: Checkpoint, layer: str) -> None:
    """Add the attention block of a layer."""
    for part in ("self.query", "self.key", "self.value", "output.dense"):
        add.linear(f"{layer}.attention.{part}", WIDTH, WIDTH)
    add.norm(f"{layer}.attention.output.LayerNorm")


def jina_bert(add: Checkpoint) -> dict[str, Any]:
    """Add the weights of JinaBERT v2, and return its config."""
    add.embeddings("embeddings.LayerNorm", types=2)
    for layer in (f"encoder.layer.{i}" for i in range(LAYERS)):
        attention_of_bert(add, layer)
        add.linear(f"{layer}.mlp.gated_layers", 2 * MIDDLE, WIDTH, biased=False)
        add.linear(f"{layer}.mlp.wo", WIDTH, MIDDLE)
        add.norm(f"{layer}.mlp.layernorm")
    code = {"AutoModel": "jinaai/jina-bert-implementation--modeling_bert.JinaBertModel"}
    return {
        "model_type": "bert", "position_embedding_type": "alibi", "feed_forward_type": "geglu", "auto_map": code,
    }  # fmt: skip


def gte(add: Checkpoint) -> dict[str, Any]:
    """Add the weights of gte-base-en-v1.5, and return its config."""
    add.embeddings("embeddings.LayerNorm")
    for layer in (f"encoder.layer.{i}" for i in range(LAYERS)):
        add.linear(f"{layer}.attention.qkv_proj", 3 * WIDTH, WIDTH)
        add.linear(f"{layer}.attention.o_proj", WIDTH, WIDTH)
        add.linear(f"{layer}.mlp.up_gate_proj", 2 * MIDDLE, WIDTH, biased=False)
        add.linear(f"{layer}.mlp.down_proj", WIDTH, MIDDLE)
        add.norm(f"{layer}.attn_ln")
        add.norm(f"{layer}.mlp_ln")
    code = {"AutoModel": "Alibaba-NLP/new-impl--modeling.NewModel"}
    scaling = {"type": "ntk", "factor": 2.0}
    return {
        "model_type": "new", "type_vocab_size": 0, "rope_theta": 500_000, "rope_scaling": scaling, "auto_map": code,
    }  # fmt: skip


def nomic(add: Checkpoint, *, experts: bool) -> dict[str, Any]:
    """Add the weights of nomic-embed-text v1.5, or of v2, and return their config."""
    add.embeddings("emb_ln", types=1)
    for i in range(LAYERS):
        layer = f"encoder.layers.{i}"
        add.linear(f"{layer}.attn.Wqkv", 3 * WIDTH, WIDTH, biased=experts)
        add.linear(f"{layer}.attn.out_proj", WIDTH, WIDTH, biased=experts)
        if experts and i % 2 == 1:
            add.linear(f"{layer}.mlp.router.layer", EXPERTS, WIDTH, biased=False)
            for part in ("w1", "w2"):
                name = f"{layer}.mlp.experts.mlp.{part}"
                add.linear(name, CHOSEN * MIDDLE, WIDTH, biased=False, shape=(EXPERTS * MIDDLE, WIDTH))
                add.weights[name] = add.weights.pop(f"{name}.weight")
            add.weights[f"{layer}.mlp.experts.bias"] = np.zeros(WIDTH, np.float32)
        else:
            for part in ("fc1",) if experts else ("fc11", "fc12"):
                add.linear(f"{layer}.mlp.{part}", MIDDLE, WIDTH, biased=experts)
            add.linear(f"{layer}.mlp.fc2", WIDTH, MIDDLE, biased=experts)
        add.norm(f"{layer}.norm1")
        add.norm(f"{layer}.norm2")
    sizes = {"n_embd": WIDTH, "n_head": HEADS, "n_layer": LAYERS, "n_inner": MIDDLE, "n_positions": 512}
    rotary = {"rotary_emb_base": 10_000, "rotary_emb_fraction": 1.0, "layer_norm_epsilon": 1e-5, "type_vocab_size": 1}
    kind: dict[str, Any] = {"activation_function": "gelu" if experts else "swiglu"}
    if experts:
        kind |= {"num_experts": EXPERTS, "moe_top_k": CHOSEN, "moe_every_n_layers": 2}
        kind |= {"qkv_proj_bias": True, "mlp_fc1_bias": True, "mlp_fc2_bias": True}
    return {"model_type": "nomic_bert", **sizes, **rotary, **kind}


def nomic_dense(add: Checkpoint) -> dict[str, Any]:
    """Add the weights of nomic-embed-text-v1.5, and return its config."""
    return nomic(add, experts=False)


def nomic_experts(add: Checkpoint) -> dict[str, Any]:
    """Add the weights of nomic-embed-text-v2-moe, and return its config."""
    return nomic(add, experts=True)


def jina_v3(add: Checkpoint) -> dict[str, Any]:
    """Add the weights of jina-embeddings-v3, and return its config. The first call with a task merges its adapter."""
    add.embeddings("emb_ln", types=1, prefix="roberta.")
    for layer in (f"roberta.encoder.layers.{i}" for i in range(LAYERS)):
        add.adapted(f"{layer}.mixer.Wqkv", 3 * WIDTH, WIDTH)
        add.adapted(f"{layer}.mixer.out_proj", WIDTH, WIDTH)
        add.adapted(f"{layer}.mlp.fc1", MIDDLE, WIDTH)
        add.adapted(f"{layer}.mlp.fc2", WIDTH, MIDDLE)
        add.norm(f"{layer}.norm1")
        add.norm(f"{layer}.norm2")
    code = {"AutoModel": "jinaai/xlm-roberta-flash-implementation--modeling_lora.XLMRobertaLoRA"}
    adapters = {"lora_adaptations": TASKS, "lora_rank": RANK, "lora_alpha": 1}
    return {"model_type": "xlm-roberta", "type_vocab_size": 1, "rotary_emb_base": 20_000, **adapters, "auto_map": code}


def decoder(add: Checkpoint, *, biased: bool = False, normed: bool = False) -> dict[str, Any]:
    """Add the weights of a decoder with shared heads of keys and values, and return the keys of its config."""
    add.table("embed_tokens", add.words)
    add.norm("norm", biased=False)
    heads = {"q_proj": HEADS, "k_proj": SHARED_HEADS, "v_proj": SHARED_HEADS}
    for layer in (f"layers.{i}" for i in range(LAYERS)):
        for part, count in heads.items():
            add.linear(f"{layer}.self_attn.{part}", count * HEAD, WIDTH, biased=biased)
        add.linear(f"{layer}.self_attn.o_proj", WIDTH, WIDTH, biased=False)
        for part in ("gate_proj", "up_proj"):
            add.linear(f"{layer}.mlp.{part}", MIDDLE, WIDTH, biased=False)
        add.linear(f"{layer}.mlp.down_proj", WIDTH, MIDDLE, biased=False)
        for part in ("q_norm", "k_norm") if normed else ():
            add.norm(f"{layer}.self_attn.{part}", HEAD, biased=False)
        for part in ("input_layernorm", "post_attention_layernorm"):
            add.norm(f"{layer}.{part}", biased=False)
    return {"num_key_value_heads": SHARED_HEADS, "head_dim": HEAD}


def gte_qwen2(add: Checkpoint) -> dict[str, Any]:
    """Add the weights of gte-Qwen2, and return its config."""
    code = {"AutoModel": "modeling_qwen.Qwen2Model"}
    return {"model_type": "qwen2", **decoder(add, biased=True), "auto_map": code}


def llama_bidirec(add: Checkpoint) -> dict[str, Any]:
    """Add the weights of NVIDIA's bidirectional Llama, and return its config."""
    return {"model_type": "llama_bidirec", **decoder(add)}


def voyage(add: Checkpoint) -> dict[str, Any]:
    """Add the weights of voyage-4-nano, and return its config."""
    config = decoder(add, normed=True)
    add.linear("linear", WIDTH, WIDTH, biased=False)
    code = {"AutoModel": "modeling_qwen3_bidirectional.Qwen3BidirectionalForTextEmbedding"}
    return {"model_type": "qwen3", **config, "num_labels": WIDTH, "auto_map": code}


FAMILIES: dict[str, Callable[[Checkpoint], dict[str, Any]]] = {
    BERT: bert,
    "gte-new, ntk": gte,
    "jina-bert-v2": jina_bert,
    "nomic, dense": nomic_dense,
    "nomic, experts": nomic_experts,
    "jina-v3, a task": jina_v3,
    "gte-qwen2": gte_qwen2,
    "llama_bidirec": llama_bidirec,
    "voyage-4": voyage,
}


def make_model(folder: Path, build: Callable[[Checkpoint], dict[str, Any]]) -> float:
    """Write a folder with mean pooling and the tokenizer of a small model; return its operations for a token."""
    from safetensors.numpy import save_file

    small = paths.ROOT / "tests/data/tiny/bert-mean-normalize/model"
    (folder / "1_Pooling").mkdir(parents=True)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(small / name, folder / name)
    checkpoint = Checkpoint(json.loads((small / "config.json").read_text(encoding="utf-8"))["vocab_size"])
    config = {
        "vocab_size": checkpoint.words, "hidden_size": WIDTH, "num_hidden_layers": LAYERS, "intermediate_size": MIDDLE,
        "num_attention_heads": HEADS, "max_position_embeddings": 512, **build(checkpoint),
    }  # fmt: skip
    pooling = {"word_embedding_dimension": WIDTH, "pooling_mode_mean_tokens": True}
    modules = [("", "Transformer"), ("1_Pooling", "Pooling")]
    listed = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (path, kind) in enumerate(modules)
    ]
    files = {"config.json": config, "1_Pooling/config.json": pooling, "modules.json": listed}
    for name, content in {**files, "sentence_bert_config.json": {"max_seq_length": 512}}.items():
        (folder / name).write_text(json.dumps(content), encoding="utf-8")
    save_file(checkpoint.weights, folder / "model.safetensors")
    return checkpoint.operations


def make_texts(model: Model, lengths: list[int]) -> list[str]:
    """Return texts of these lengths in tokens, of words that are one token each."""
    letters = [chr(ord("a") + i) for i in range(26)]
    words = [word for word, count in zip(letters, model.count_tokens(letters), strict=True) if count == 3]
    choose = random.Random(0).choices
    texts = [" ".join(choose(words, k=length - 2)) for length in lengths]
    if model.count_tokens(texts) != lengths:
        raise SystemExit("the texts don't have the lengths of mixed")
    return texts


def check(name: str, work: Callable[[list[str]], NDArray[np.float32]], texts: list[str]) -> None:
    """Stop if embeddings aren't finite, or depend on the batch."""
    together = work(texts)
    alone = np.concatenate([work([text]) for text in texts])
    if not np.isfinite(together).all() or not np.array_equal(together, alone):
        raise SystemExit(f"{name}: a text has other numbers alone")


def main() -> None:
    """Measure, and print a line for each family."""
    from rushlight import Model, set_num_threads

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(FAMILIES)}; all if none is named")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(FAMILIES):
        parser.error(f"no such families: {', '.join(sorted(unknown))}")
    set_num_threads(arguments.threads)
    names = [BERT, *(name for name in arguments.names or FAMILIES if name != BERT)]
    lengths = lengths_of_mixed(TEXTS)
    attention = 4 * LAYERS * HEADS * HEAD * sum(length**2 for length in lengths)
    works: dict[str, Callable[[list[str]], Any]] = {}
    operations: dict[str, float] = {}
    texts: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            own = Path(folder, name)
            operations[name] = make_model(own, FAMILIES[name]) * sum(lengths) + attention
            # Some families have tokenizer classes that would build other tokens of the file.
            model = Model(own, tokenizer_as_filed=True)
            texts = texts or make_texts(model, lengths)
            task = model.tasks[0] if model.tasks else None
            works[name] = partial(model.encode, task=task)
            check(name, works[name], texts)
        measure(works, operations, texts, arguments)


def measure(
    works: dict[str, Callable[[list[str]], Any]],
    operations: dict[str, float],
    texts: list[str],
    arguments: argparse.Namespace,
) -> None:
    """Let the models take turns on the texts, with the peak beside them."""
    shares: dict[str, list[float]] = {name: [] for name in works}
    with Peak(arguments.threads) as peak:
        before = peak.gflops()
        for _ in range(arguments.rounds):
            for name, work in works.items():
                start = time.perf_counter()
                work(texts)
                rate = operations[name] / 1e9 / (time.perf_counter() - start)
                after = peak.gflops()
                shares[name].append(2 * rate / (before + after))
                before = after
    for name, values in shares.items():
        ratios = [a / b for a, b in zip(values, shares[BERT], strict=True)]
        spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        print(f"{name:18} {statistics.median(values):6.1%} of the peak, {spread} of BERT's share")


if __name__ == "__main__":
    main()
