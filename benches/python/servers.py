"""Server of a peer's model for `serve.py`: the page of FastAPI that people write, with OpenAI's route.

BACKEND is a peer of the harness, MODEL the model's folder, OPTIONS the peer's options in JSON.
"""

import asyncio
import base64
import importlib
import json
import os
from typing import Any, Literal

import numpy as np
from fastapi import FastAPI
from pydantic import BaseModel

app = FastAPI()
peer = importlib.import_module(f"harness.peers.{os.environ['BACKEND']}")
encode = peer.load(os.environ["MODEL"], os.environ["OMP_NUM_THREADS"], **json.loads(os.environ["OPTIONS"]))


class Request(BaseModel):
    """Request of OpenAI's clients."""

    input: str | list[str]
    model: str = ""
    encoding_format: Literal["float", "base64"] = "float"


@app.post("/v1/embeddings")
async def embeddings(request: Request) -> dict[str, Any]:
    """Answer with embeddings."""
    texts = [request.input] if isinstance(request.input, str) else request.input
    rows = await asyncio.to_thread(encode, texts)
    as_text = request.encoding_format == "base64"
    numbers = [base64.b64encode(np.float32(row)).decode() if as_text else row.tolist() for row in rows]
    data = [{"object": "embedding", "index": i, "embedding": row} for i, row in enumerate(numbers)]
    return {"object": "list", "model": request.model, "data": data, "usage": {"prompt_tokens": 0, "total_tokens": 0}}
