"""Take over cases of published custom code, which sentence-transformers 6 no longer runs.

    cd tests; python -m generator.published FOLDER NAME ...

FOLDER has a folder for each case, made by that code with an older transformers; `meta.json` says how. This program
keeps what the tests read.
"""

import argparse
import shutil
from pathlib import Path

import numpy as np

from . import archives, storage
from .storage import read_json, write_json

KINDS = {"dense": "tiny", "rerank": "rerank", "sparse": "sparse", "bge-m3": "hybrid"}
KINDS |= {"image-text": "tiny", "asym": "routes", "multivector": "multi_vector", "static": "static"}
FILES = ["expected64*.npy", "expected_logits.npy", "expected_prompt.npy", "expected_without_adapter.npy"]
FILES += ["expected_sparse.json", "texts.json", "token_ids.json"]
# The last three tell where the numbers come from.
META = ["model_type", "dim", "max_seq_length", "max_length", "num_labels", "float32_vs_float64_max_abs"]
META += ["extra_prompt", "images", "how", "versions", "note", *archives.META]


def take(source):
    """Copy a case from the folder `source` to the others of its kind."""
    meta = read_json(source / "meta.json")
    target = storage.DATA / KINDS[meta["kind"]] / source.name
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source / "model", target / "model")
    for file in (file for pattern in FILES for file in source.glob(pattern)):
        shutil.copyfile(file, target / file.name)
    meta |= archives.convert(source, target)
    for file in target.glob("expected64_*.npy"):
        # With a prompt or a task: half the size, and far below the tolerance.
        np.save(file, np.load(file).astype(np.float32))
    take_base(source, target)
    take_images(source, target)
    if meta["kind"] == "rerank":
        # The reference gets the limit as an argument; tests read the folder's.
        path = target / "model/tokenizer_config.json"
        write_json(path, read_json(path) | {"model_max_length": meta["max_length"]})
        if "how" in meta:
            drop_empty_seconds(target)
    write_json(target / "meta.json", {key: meta[key] for key in META if key in meta})


def take_base(source, target):
    """Copy the base model of an adapter into the adapter's folder, from which its relative name counts, too."""
    if (source / "base").exists() and not (target / "model/model.safetensors").exists():
        shutil.copytree(source / "base", target / "model/base")


def take_images(source, target):
    """Copy images, their embeddings, and their pixels as Pillow 12 resizes and crops them: `(n, side, side, 3)`."""
    if not (source / "images").exists():
        return
    shutil.copytree(source / "images", target / "images")
    shutil.copyfile(source / "expected_images_pillow.npy", target / "expected_images.npy")
    shutil.copyfile(source / "expected_image_paths.npy", target / "expected_image_paths.npy")
    drop_padding(target)
    pixels = np.load(source / "pixels.npz")["pillow"]
    (target / "pixels.bin").write_bytes(pixels.transpose(0, 2, 3, 1).tobytes())


def drop_padding(case):
    """Drop padding before texts, which masks leave out: it only moves their positions."""
    every = read_json(case / "token_ids.json")
    pad = min(ids[0] for ids in every)
    if all(len(ids) == len(every[0]) for ids in every):
        first = [next(i for i, token in enumerate(ids) if token != pad) for ids in every]
        write_json(case / "token_ids.json", [ids[i:] for i, ids in zip(first, every, strict=True)])


def drop_empty_seconds(case):
    """Drop pairs with an empty second text.

    The cases of published code were tokenized pair by pair. transformers then drops an empty second text, which
    batches of sentence-transformers keep.
    """
    kept = [i for i, (_, second) in enumerate(read_json(case / "texts.json")) if second]
    for name in ["texts.json", "token_ids.json"]:
        every = read_json(case / name)
        write_json(case / name, [every[i] for i in kept])
    for file in case.glob("expected*.npy"):
        np.save(file, np.load(file)[kept])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("names", nargs="+", metavar="NAME")
    arguments = parser.parse_args()
    storage.unpack(storage.DATA)
    for name in arguments.names:
        take(arguments.folder / name)
    storage.pack()


if __name__ == "__main__":
    main()
