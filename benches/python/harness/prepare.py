"""Make what the peers need of all-MiniLM-L6-v2, by the Python that has them: `prepare.py MODEL FOLDER`.

    FOLDER/st/        the model's folder, with onnx/model.onnx, onnx/model_fused.onnx, onnx/model_int8.onnx,
                      openvino/openvino_model.xml and openvino/openvino_model_int8.xml
    FOLDER/hub/       the model as the Hugging Face cache holds it

`minilm.graph.onnx` beside this file is the graph as torch exports it (opset 17; input_ids, attention_mask and
token_type_ids to last_hidden_state; batch and length free) without its weights: its metadata names the tensor that each
weight is, and whether transposed. The fused graph is the one that ONNX Runtime's optimizer for BERT makes of it.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).parents[1])  # in place of this folder, whose files are named like packages

HUB_NAME = "sentence-transformers/all-MiniLM-L6-v2"


def main() -> None:
    """Make everything, beside its place first, so that what is there is whole."""
    model, target = Path(sys.argv[1]), Path(sys.argv[2])
    folder = target.with_suffix(".part")
    shutil.rmtree(folder, ignore_errors=True)
    st = folder / "st"
    shutil.copytree(model, st)
    (st / "onnx").mkdir()
    fill(model / "model.safetensors", st / "onnx/model.onnx")
    fuse(st / "onnx/model.onnx", st / "onnx/model_fused.onnx")
    quantize(st / "onnx/model_fused.onnx", st / "onnx/model_int8.onnx")
    convert(st / "onnx/model.onnx", st / "openvino/openvino_model.xml")
    quantize_with_inputs(st, st / "openvino/openvino_model_int8.xml")
    fill_cache(model, folder / "hub")
    shutil.rmtree(target, ignore_errors=True)
    folder.rename(target)


def fill(weights: Path, out: Path) -> None:
    """Put the weights into the graph."""
    import onnx
    from safetensors.numpy import load_file

    tensors = load_file(weights)
    graph = onnx.load(Path(__file__).with_name("minilm.graph.onnx"))
    (sources,) = (json.loads(entry.value) for entry in graph.metadata_props if entry.key == "weights")
    for initializer in graph.graph.initializer:
        if initializer.name in sources:
            name, transposed = sources[initializer.name]
            tensor = tensors[name].T if transposed else tensors[name]
            initializer.CopyFrom(onnx.numpy_helper.from_array(tensor.copy(), initializer.name))
    onnx.checker.check_model(graph)
    onnx.save(graph, out)


def fuse(graph: Path, out: Path) -> None:
    """Let ONNX Runtime's optimizer join operations: attention, GELU with its bias, norms with their residual."""
    from onnxruntime.transformers.optimizer import optimize_model

    fused = optimize_model(str(graph), model_type="bert", num_heads=12, hidden_size=384, opt_level=0)
    counts = fused.get_fused_operator_statistics()
    if counts["Attention"] != 6 or counts["BiasGelu"] != 6 or counts["SkipLayerNormalization"] != 12:
        sys.exit(f"the optimizer of ONNX Runtime did not fuse all: {counts}")
    fused.save_model_to_file(str(out))


def quantize(graph: Path, out: Path) -> None:
    """Quantize the weights to int8 by channel, and activations as they come."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    # The types of fused operations can't be inferred.
    options = {"DefaultTensorType": onnx.TensorProto.FLOAT}
    quantize_dynamic(graph, out, per_channel=True, weight_type=QuantType.QInt8, extra_options=options)


def convert(graph: Path, out: Path) -> None:
    """Write the graph as OpenVINO does, in full precision."""
    import openvino

    openvino.save_model(openvino.convert_model(graph), out, compress_to_fp16=False)


def quantize_with_inputs(st: Path, out: Path) -> None:
    """Quantize weights and activations of OpenVINO's graph to int8, by the ranges that 300 texts of *mixed* show."""
    import nncf
    import openvino
    from tokenizers import Tokenizer

    from harness.peers._by_hand import Tokens
    from harness.workloads import Writer

    tokenizer = Tokenizer.from_file(str(st / "tokenizer.json"))
    writer = Writer(st, lambda texts: [len(row.ids) for row in tokenizer.encode_batch_fast(texts)], seed=2)
    texts = writer.workloads()["mixed"][:300]
    inputs = [inputs for _, inputs in Tokens(str(st)).batches(texts)]
    graph = openvino.Core().read_model(st / "openvino/openvino_model.xml")
    settings = {"model_type": nncf.ModelType.TRANSFORMER, "subset_size": len(inputs)}
    quantized = nncf.quantize(graph, nncf.Dataset(inputs), **settings)
    openvino.save_model(quantized, out, compress_to_fp16=False)


def fill_cache(model: Path, hub: Path) -> None:
    """Lay the model's folder into a cache, as downloading it would."""
    repository = hub / f"models--{HUB_NAME.replace('/', '--')}"
    revision = "0" * 40
    shutil.copytree(model, repository / "snapshots" / revision)
    (repository / "refs").mkdir()
    (repository / "refs/main").write_text(revision)


if __name__ == "__main__":
    main()
