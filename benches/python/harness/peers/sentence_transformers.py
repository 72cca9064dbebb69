"""sentence-transformers as shipped, with its torch, ONNX or OpenVINO backend."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

PACKAGES = ("sentence-transformers", "torch", "transformers", "onnxruntime", "openvino", "optimum", "numpy")


def load(model: str, threads: str, backend: str, file_name: str = "") -> Callable[[list[str]], Any]:
    """Return `encode` of the model, from its folder with the backend's own files beside."""
    import torch
    from sentence_transformers import SentenceTransformer

    torch.set_num_threads(int(threads))
    settings: dict[str, Any] = {}
    if backend == "onnx":
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(threads)
        settings = {"file_name": file_name, "provider": "CPUExecutionProvider", "session_options": options}
    elif backend == "openvino":
        # The default is bfloat16 where the processor has it.
        config = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads}
        settings = {"ov_config": config}
    loaded = SentenceTransformer(model, device="cpu", backend=backend, model_kwargs=settings, local_files_only=True)
    return lambda texts: loaded.encode(texts, show_progress_bar=False)
