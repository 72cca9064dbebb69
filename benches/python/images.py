"""Images a second of CLIP's ViT-B/32 with random weights, decoding included, beside ONNX Runtime with the same weights.

    .venv/bin/python benches/python/images.py [--threads 2] [--rounds 7]

Needs onnx, onnxruntime, safetensors and Pillow, and the rushlight that is measured. The contenders take turns on the
same files; the ratio is that of each round. ONNX Runtime gets fused attention, a batch of 32, and Pillow on as many
threads.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import shutil
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from harness import paths
from harness.contenders import Peak

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

SIDE, PATCH, WIDTH, HEADS, MIDDLE, LAYERS, PROJECTED = 224, 32, 768, 12, 3072, 12, 512
TOKENS = 1 + (SIDE // PATCH) ** 2
TEXT = {"hidden_size": 64, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 64}
MEAN, STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]
BATCH = 32
# Operations of an image: two for each weight and token, and those of attention.
FLOPS = (
    2 * TOKENS * LAYERS * (4 * WIDTH * WIDTH + 2 * WIDTH * MIDDLE + 2 * TOKENS * WIDTH)
    + 2 * TOKENS * 3 * PATCH * PATCH * WIDTH
)


def main() -> None:
    """Measure, and print a line for each contender."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--size", type=int, nargs=2, default=[640, 480], metavar=("WIDTH", "HEIGHT"))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        weights = random_weights()
        make_model(folder / "model", weights)
        files = make_photos(folder / "photos", arguments.images, arguments.size)
        sides = contenders(folder / "model", weights, arguments.threads)
        rows = {side: work(files[:4]) for side, work in sides.items()}
        off = {side: float(np.abs(row - rows["rushlight"]).max()) for side, row in rows.items()}
        scale = float(np.abs(rows["rushlight"]).max())
        print(f"largest difference from rushlight, of {scale:.2f}: {off['onnxruntime']:.4f} (decoders of JPEG differ)")
        if off["onnxruntime"] > 0.05 * scale:
            raise SystemExit("the contenders don't compute the same")
        measure(sides, files, arguments)


def measure(sides: dict[str, Callable[[Any], Any]], files: list[Path], arguments: argparse.Namespace) -> None:
    """Let the contenders take turns on the files, on decoded pixels, and the peak beside them."""
    from PIL import Image

    side = np.asarray(Image.open(files[0]).convert("RGB").resize((SIDE, SIDE)))
    pixels = [np.roll(side, number, 1) for number in range(len(files))]
    for what, inputs in (("files", files), ("pixels of the model's size", pixels)):
        times: dict[str, list[float]] = {name: [] for name in sides}
        peaks = []
        with Peak(arguments.threads) as peak:
            for work in sides.values():
                work(inputs)
            for _ in range(arguments.rounds):
                peaks.append(peak.gflops())
                for name, work in sides.items():
                    start = time.perf_counter()
                    work(inputs)
                    times[name].append(time.perf_counter() - start)
        flops = statistics.median(peaks)
        for name, seconds in times.items():
            ratios = [a / b for a, b in zip(seconds, times["rushlight"], strict=True)]
            rate = len(inputs) / statistics.median(seconds)
            share = f"{rate * FLOPS / 1e9 / flops:.1%} of the peak"
            spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
            print(f"{what}, {name}: {rate:.1f} images/s, {share}, {spread} times as long as rushlight")


def random_weights() -> dict[str, NDArray[np.float32]]:
    """Return weights by their names in CLIP's checkpoints."""
    numbers = np.random.default_rng(0)
    weights: dict[str, NDArray[np.float32]] = {}

    def linear(name: str, outputs: int, inputs: int, *, biased: bool = True) -> None:
        weights[f"{name}.weight"] = numbers.standard_normal((outputs, inputs), np.float32) / np.float32(inputs) ** 0.5
        if biased:
            weights[f"{name}.bias"] = numbers.standard_normal(outputs, np.float32) * np.float32(0.02)

    def norm(name: str, width: int) -> None:
        weights[f"{name}.weight"] = np.ones(width, np.float32)
        weights[f"{name}.bias"] = np.zeros(width, np.float32)

    def tower(name: str, layers: int, width: int, middle: int) -> None:
        for layer in (f"{name}.encoder.layers.{i}" for i in range(layers)):
            for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
                linear(f"{layer}.self_attn.{part}", width, width)
            linear(f"{layer}.mlp.fc1", middle, width)
            linear(f"{layer}.mlp.fc2", width, middle)
            norm(f"{layer}.layer_norm1", width)
            norm(f"{layer}.layer_norm2", width)

    tower("text_model", TEXT["num_hidden_layers"], TEXT["hidden_size"], TEXT["intermediate_size"])
    tower("vision_model", LAYERS, WIDTH, MIDDLE)
    norm("text_model.final_layer_norm", TEXT["hidden_size"])
    for name in ("pre_layrnorm", "post_layernorm"):
        norm(f"vision_model.{name}", WIDTH)
    linear("text_projection", PROJECTED, TEXT["hidden_size"], biased=False)
    linear("visual_projection", PROJECTED, WIDTH, biased=False)
    own = "vision_model.embeddings"
    weights[f"{own}.class_embedding"] = numbers.standard_normal(WIDTH, np.float32)
    patch = numbers.standard_normal((WIDTH, 3, PATCH, PATCH), np.float32)
    weights[f"{own}.patch_embedding.weight"] = patch / np.float32(3 * PATCH * PATCH) ** 0.5
    weights[f"{own}.position_embedding.weight"] = numbers.standard_normal((TOKENS, WIDTH), np.float32)
    return weights


def make_model(folder: Path, weights: dict[str, NDArray[np.float32]]) -> None:
    """Write a folder of transformers, with the tokenizer of a small model."""
    from safetensors.numpy import save_file

    small = paths.ROOT / "tests/data/tiny/clip-legacy-module/model/0_CLIPModel"
    folder.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(small / name, folder / name)
    words = json.loads((small / "config.json").read_text())["text_config"]["vocab_size"]
    own = "text_model.embeddings"
    text = {
        f"{own}.token_embedding.weight": np.zeros((words, TEXT["hidden_size"]), np.float32),
        f"{own}.position_embedding.weight": np.zeros((77, TEXT["hidden_size"]), np.float32),
    }
    config = {
        "model_type": "clip",
        "projection_dim": PROJECTED,
        "text_config": {**TEXT, "vocab_size": words, "eos_token_id": 2},
        "vision_config": {
            "hidden_size": WIDTH, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS,
            "intermediate_size": MIDDLE, "patch_size": PATCH, "image_size": SIDE,
        },
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    save_file({**weights, **text}, folder / "model.safetensors")


def make_photos(folder: Path, count: int, size: list[int]) -> list[Path]:
    """Write JPEG files that compress like photos: smooth shapes with a little noise."""
    from PIL import Image

    folder.mkdir()
    numbers = np.random.default_rng(1)
    files = []
    for number in range(count):
        coarse = Image.fromarray(numbers.integers(0, 256, (12, 16, 3), dtype=np.uint8))
        smooth = np.asarray(coarse.resize(tuple(size), Image.Resampling.BICUBIC), np.int16)
        noisy = smooth + numbers.normal(0, 6, smooth.shape).astype(np.int16)
        files.append(folder / f"{number}.jpg")
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(files[-1], quality=90)
    return files


def contenders(
    folder: Path, weights: dict[str, NDArray[np.float32]], threads: int
) -> dict[str, Callable[[Any], NDArray[np.float32]]]:
    """Return the functions that embed files or pixels."""
    import rushlight

    rushlight.set_num_threads(threads)
    model = rushlight.Model(folder)
    session = make_session(weights, threads)
    pool = ThreadPoolExecutor(threads)

    def by_onnxruntime(inputs: list[Any]) -> NDArray[np.float32]:
        rows = []
        for start in range(0, len(inputs), BATCH):
            values = np.stack(list(pool.map(prepare, inputs[start : start + BATCH])))
            rows.append(session.run(None, {"pixels": values})[0])
        return np.concatenate(rows)

    return {"rushlight": model.encode, "onnxruntime": by_onnxruntime}


def prepare(image: Any) -> NDArray[np.float32]:
    """Decode, resize, crop and normalize an image by Pillow and numpy."""
    from PIL import Image

    opened = (
        Image.fromarray(image) if isinstance(image, np.ndarray) else Image.open(io.BytesIO(Path(image).read_bytes()))
    )
    opened = opened.convert("RGB")
    short = min(opened.size)
    if short != SIDE:
        size = (SIDE * opened.width // short, SIDE * opened.height // short)
        opened = opened.resize(size, Image.Resampling.BICUBIC)
    left, top = (opened.width - SIDE) // 2, (opened.height - SIDE) // 2
    pixels = np.asarray(opened.crop((left, top, left + SIDE, top + SIDE)), np.float32) / np.float32(255)
    return ((pixels - np.float32(MEAN)) / np.float32(STD)).transpose(2, 0, 1)


def make_session(weights: dict[str, NDArray[np.float32]], threads: int) -> Any:
    """Return a session of ONNX Runtime on the image tower, with its fused attention and activation."""
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    nodes: list[Any] = []
    constants: dict[str, NDArray[Any]] = {}

    def constant(name: str, array: NDArray[Any]) -> str:
        constants[name] = np.asarray(array, order="C")
        return name

    def add(kind: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        output = f"x{len(nodes)}"
        nodes.append(helper.make_node(kind, inputs, [output], domain=domain, **attributes))
        return output

    def linear(x: str, name: str) -> str:
        product = add("MatMul", x, constant(f"{name}.weight", weights[f"{name}.weight"].T))
        bias = weights.get(f"{name}.bias")
        return product if bias is None else add("Add", product, constant(f"{name}.bias", bias))

    def norm(x: str, name: str) -> str:
        parts = [constant(f"{name}.{part}", weights[f"{name}.{part}"]) for part in ("weight", "bias")]
        return add("LayerNormalization", x, *parts, epsilon=1e-5)

    own = "vision_model.embeddings"
    patches = add("Conv", "pixels", constant("patch", weights[f"{own}.patch_embedding.weight"]), strides=[PATCH, PATCH])
    patches = add("Transpose", add("Reshape", patches, constant("rows", np.array([0, WIDTH, -1]))), perm=[0, 2, 1])
    batch = add("Slice", add("Shape", "pixels"), constant("from", np.array([0])), constant("to", np.array([1])))
    shape = add("Concat", batch, constant("one", np.array([1, WIDTH])), axis=0)
    first = add("Expand", constant("class", weights[f"{own}.class_embedding"][None, None]), shape)
    x = add("Concat", first, patches, axis=1)
    x = add("Add", x, constant("positions", weights[f"{own}.position_embedding.weight"][None]))
    x = norm(x, "vision_model.pre_layrnorm")
    fused = "com.microsoft"
    for layer in (f"vision_model.encoder.layers.{i}" for i in range(LAYERS)):
        normed = norm(x, f"{layer}.layer_norm1")
        parts = [linear(normed, f"{layer}.self_attn.{part}") for part in ("q_proj", "k_proj", "v_proj")]
        mixed = add("MultiHeadAttention", *parts, domain=fused, num_heads=HEADS)
        x = add("Add", x, linear(mixed, f"{layer}.self_attn.out_proj"))
        middle = linear(norm(x, f"{layer}.layer_norm2"), f"{layer}.mlp.fc1")
        x = add("Add", x, linear(add("QuickGelu", middle, domain=fused, alpha=1.702), f"{layer}.mlp.fc2"))
    token = add("Gather", x, constant("zero", np.array(0)), axis=1)
    output = linear(norm(token, "vision_model.post_layernorm"), "visual_projection")
    graph = helper.make_graph(
        nodes,
        "clip",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["batch", 3, SIDE, SIDE])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["batch", PROJECTED])],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    imports = [helper.make_opsetid("", 17), helper.make_opsetid(fused, 1)]
    model = helper.make_model(graph, opset_imports=imports, ir_version=9)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # Both contenders are in one process, where waiting threads would take the other's processors.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


if __name__ == "__main__":
    main()
