"""`rushlight.compat` stands in for sentence-transformers before anything imports it."""

from __future__ import annotations

import os

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["ANONYMIZED_TELEMETRY"] = "false"

import rushlight.compat

rushlight.compat.install()
