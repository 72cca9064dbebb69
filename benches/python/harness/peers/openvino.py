"""OpenVINO by hand: sorted by tokens, in small batches, one after the other or several at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

PACKAGES = ("openvino", "tokenizers", "numpy")


def load(
    model: str, threads: str, graph: str, hint: str, precision: str = "f32"
) -> Callable[[list[str]], NDArray[Any]]:
    """Return what embeds texts by the file `graph`, tuned for `hint`: latency or throughput."""
    import numpy as np
    import openvino

    from harness.peers._by_hand import Tokens, pooled

    settings = {
        "INFERENCE_PRECISION_HINT": precision,  # the default is bfloat16 where the processor has it
        "INFERENCE_NUM_THREADS": int(threads),
        "PERFORMANCE_HINT": hint.upper(),
    }
    compiled = openvino.Core().compile_model(graph, "CPU", settings)
    tokens = Tokens(model)

    def one_at_a_time(texts: list[str]) -> NDArray[Any]:
        result = np.empty((len(texts), 384), dtype=np.float32)
        request = compiled.create_infer_request()
        for places, inputs in tokens.batches(texts):
            states = request.infer(inputs, share_inputs=True, share_outputs=True)[0]
            result[places] = pooled(states, inputs["attention_mask"])
        return result

    def several(texts: list[str]) -> NDArray[Any]:
        result = np.empty((len(texts), 384), dtype=np.float32)

        def done(request: Any, batch: Any) -> None:
            places, inputs = batch
            result[places] = pooled(request.get_output_tensor(0).data, inputs["attention_mask"])

        queue = openvino.AsyncInferQueue(compiled)
        queue.set_callback(done)
        for places, inputs in tokens.batches(texts):
            # The user data keeps the inputs alive, which are not copied.
            queue.start_async(inputs, (places, inputs), share_inputs=True)
        queue.wait_all()
        return result

    return several if hint == "throughput" else one_at_a_time
