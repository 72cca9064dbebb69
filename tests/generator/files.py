"""The files of a case, and what its kinds have in common."""

import shutil
import tempfile
from contextlib import contextmanager

import numpy as np

from .storage import DATA, write_json
from .vocabularies import vocabulary
from .weights import seed


def emptied(kind, name):
    """A case's folder, with nothing in it."""
    folder = DATA / kind / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


@contextmanager
def backbone(network, tokenizer, max_length=None):
    """A folder with a seeded network and a tokenizer, as transformers saves them."""
    tokenizer = vocabulary(tokenizer)
    if max_length:
        tokenizer.model_max_length = max_length
    with tempfile.TemporaryDirectory() as folder:
        seed(network).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        yield folder


def save(model, folder):
    """Save a model of sentence-transformers, without a model card."""
    model.save_pretrained(str(folder / "model"))
    (folder / "model/README.md").unlink(missing_ok=True)
    return str(folder / "model")


def write_case(folder, inputs, expected, meta):
    """Write inputs, what the reference makes of them in float64, and what it says of the model."""
    write_json(folder / "texts.json", inputs)
    np.save(folder / "expected64.npy", expected)
    write_json(folder / "meta.json", meta)
    print(f"{folder.parent.name}/{folder.name} {expected.shape}")


def one_by_one(encode, texts):
    """Apply a function to each text alone, without padding."""
    return [np.asarray(encode([text])[0]) for text in texts]
