"""Downloading: from a hub on loopback, into the cache that huggingface_hub keeps."""

from __future__ import annotations

import json
import os
import shutil
import ssl
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import trustme
from cases import DATA, tiny
from hub import COMMIT, DRIPS, Fault, Hub, Proxy
from interrupts import check_interrupt

from rushlight import Model, Reranker, SparseModel
from rushlight.exceptions import DownloadError, InvalidArgumentError, ModelFormatError, ModelNotFoundError

CASE = tiny("bert-mean-normalize")
NAME = "org/small"
TOKEN = "hf_a-secret"


@pytest.fixture
def hub() -> Hub:
    hub = Hub()
    hub.add(NAME, CASE.model)
    yield hub
    hub.close()


@pytest.fixture(autouse=True)
def environment(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing but the hub and an empty home."""
    for name in [*os.environ]:
        if name.startswith(
            ("HF_", "HUGGING", "REQUESTS_CA", "SENTENCE_TRANSFORMERS_", "SSL_CERT", "TRANSFORMERS_", "XDG_")
        ) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "hf" / "hub"


def check(model: Model) -> None:
    expected = np.load(CASE.folder / "expected64.npy")[:3]
    assert np.abs(model.encode(CASE.texts[:3]) - expected).max() <= 1e-5


def snapshot(cache: Path, name: str = NAME) -> Path:
    return cache / f"models--{name.replace('/', '--')}" / "snapshots" / COMMIT


def is_clean(cache: Path) -> bool:
    """Return True if the cache has complete files only."""
    files = [path for path in cache.rglob("*") if path.is_file() and ".locks" not in path.parts]
    return not [path for path in files if path.suffix in {".incomplete", ".new", ".copy"}]


def run(code: str, **keywords: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False, **keywords
    )


READ_ONLY = f"""
import os, rushlight._wheels, tqdm.auto
from rushlight import Model
if os.geteuid() == 0:  # who may write everywhere
    os.setuid(65534)
print(Model({NAME!r}).encode("a").shape)
"""


# Downloaded files


def test_a_name_is_downloaded_once_and_then_never_asked_for(hub: Hub, cache: Path) -> None:
    check(Model(NAME))
    files = {path for path in hub.repositories[NAME] if not path.endswith("README.md")}
    assert set(hub.fetched()) == {*files, *({"README.md"} & hub.repositories[NAME].keys())}
    weights = [request for request in hub.log if request.path.endswith("model.safetensors") and request.method == "GET"]
    assert [request.store for request in weights] == [False, True]
    assert (cache / "models--org--small" / "refs" / "main").read_text() == COMMIT
    assert (snapshot(cache) / "model.safetensors").readlink() == Path("../../blobs") / (
        snapshot(cache) / "model.safetensors"
    ).resolve().name
    assert is_clean(cache)

    hub.log.clear()
    check(Model(NAME))
    check(Model(NAME, revision="main"))
    check(Model(NAME, revision=COMMIT))
    check(Model(NAME, local_files_only=True))
    assert hub.log == []


def test_only_what_a_model_needs_is_fetched(hub: Hub) -> None:
    for name in (
        "onnx/model.onnx", "openvino/openvino_model.bin", "tf_model.h5", "pytorch_model.bin", "flax_model.msgpack",
        "checkpoint-500/model.safetensors", "train.py", "data_config.json", "1_Pooling/notes.txt", ".gitattributes",
    ):  # fmt: skip
        hub.repositories[NAME][name] = b"not needed"
    check(Model(NAME))
    assert not [path for path in hub.fetched() if hub.repositories[NAME][path] == b"not needed"]


def test_weights_in_shards_and_of_torch_are_fetched(hub: Hub) -> None:
    hub.add("org/legacy", tiny("legacy-bert-mean-normalize").model)
    check(Model("org/legacy"))
    assert "pytorch_model.bin" in hub.fetched()

    files = hub.repositories[NAME]
    files["model-00001-of-00001.safetensors"] = files.pop("model.safetensors")
    header = files["model-00001-of-00001.safetensors"]
    (length,) = struct.unpack("<Q", header[:8])
    tensors = [name for name in json.loads(header[8 : 8 + length]) if name != "__metadata__"]
    index = {"weight_map": dict.fromkeys(tensors, "model-00001-of-00001.safetensors")}
    files["model.safetensors.index.json"] = json.dumps(index).encode()
    check(Model(NAME))


def test_a_name_without_an_organization_is_sentence_transformers_own(hub: Hub) -> None:
    hub.add("sentence-transformers/small", CASE.model)
    hub.add("bert-base-uncased", tiny("mpnet-mean-normalize").model)
    check(Model("small"))
    assert Model("bert-base-uncased").max_seq_length == 128


def test_revisions(hub: Hub, cache: Path) -> None:
    hub.revisions["refs/pr/1"] = hub.revisions["v1.0"] = COMMIT
    for revision in ("v1.0", "refs/pr/1"):
        check(Model(NAME, revision=revision))
        assert (cache / "models--org--small" / "refs" / revision).read_text() == COMMIT
    with pytest.raises(ModelNotFoundError, match='no revision "v2"'):
        Model(NAME, revision="v2")


def test_a_renamed_repository_is_followed(hub: Hub) -> None:
    hub.renamed["org/old"] = NAME
    hub.repositories["org/old"] = hub.repositories[NAME]
    check(Model("org/old"))


def test_what_transformers_alone_left_in_the_cache_is_completed(hub: Hub, cache: Path) -> None:
    """Without modules.json the model would be another one, and nobody would notice."""
    check(Model(NAME))
    for name in ("modules.json", "config_sentence_transformers.json", "README.md"):
        (snapshot(cache) / name).unlink(missing_ok=True)
    forget_list(cache)
    marks = cache / "models--org--small" / ".no_exist" / COMMIT
    marks.mkdir(parents=True)
    (marks / "added_tokens.json").touch()
    with pytest.raises(
        ModelNotFoundError, match=r"(?s)no modules\.json, and the repository may have it.*local_files_only"
    ):
        Model(NAME, local_files_only=True)
    hub.faults[f"/revision/{COMMIT}"] = [Fault(500)]
    with pytest.raises(ModelNotFoundError, match=r"(?s)no modules\.json, and the repository may have it.*500"):
        Model(NAME)
    hub.log.clear()
    check(Model(NAME))
    # Present files are not downloaded again.
    assert hub.fetched() == []
    assert (snapshot(cache) / "modules.json").exists()


def test_a_snapshot_that_lacks_a_file_is_completed(hub: Hub, cache: Path) -> None:
    check(Model(NAME))
    (snapshot(cache) / "model.safetensors").resolve().unlink()
    with pytest.raises(ModelNotFoundError, match=r"(?s)no model\.safetensors.*local_files_only"):
        Model(NAME, local_files_only=True)
    hub.log.clear()
    check(Model(NAME))
    assert set(hub.fetched()) == {"model.safetensors"}


def test_that_a_repository_has_no_modules_is_known_afterwards(hub: Hub, cache: Path) -> None:
    for name in ("modules.json", "config_sentence_transformers.json", "README.md"):
        hub.repositories[NAME].pop(name, None)
    Model(NAME)
    hub.log.clear()
    Model(NAME)
    assert hub.log == []
    Model(NAME, local_files_only=True)
    assert hub.log == []


# Files that other programs left


def forget_list(cache: Path, name: str = NAME) -> None:
    """Leave a snapshot as other programs do, and older versions of rushlight."""
    shutil.rmtree(cache / f"models--{name.replace('/', '--')}" / ".rushlight", ignore_errors=True)


def fill(cache: Path, name: str, folder: Path, *, without: tuple[str, ...] = ()) -> None:
    """Make the snapshot that an interrupted download of another program's leaves."""
    repository = cache / f"models--{name.replace('/', '--')}"
    shutil.copytree(folder, snapshot(cache, name))
    for file in without:
        (snapshot(cache, name) / file).unlink()
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)


def edit(file: Path, **keys: object) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **keys}))


@pytest.fixture
def dense(tmp_path: Path) -> Path:
    """A model each of whose files counts for its numbers."""
    folder = tmp_path / "dense"
    shutil.copytree(tiny("bert-cls-dense-normalize").model, folder)
    edit(folder / "tokenizer_config.json", tokenizer_class="BertTokenizer", do_lower_case=False)
    edit(folder / "sentence_bert_config.json", max_seq_length=16)
    return folder


TEXTS = ["The Weather is lovely today. " * 9, "Café", "x"]
NEEDED = [
    "config.json", "model.safetensors", "tokenizer.json", "1_Pooling/config.json", "2_Dense/config.json",
    "2_Dense/model.safetensors",
]  # fmt: skip
OPTIONAL = ["modules.json", "tokenizer_config.json", "sentence_bert_config.json", "config_sentence_transformers.json"]


@pytest.mark.parametrize("missing", [*NEEDED, *OPTIONAL])
def test_a_file_that_an_interrupted_download_left_out_is_fetched(
    hub: Hub, cache: Path, dense: Path, missing: str
) -> None:
    hub.add("org/dense", dense)
    fill(cache, "org/dense", dense, without=(missing,))
    if missing in NEEDED:
        with pytest.raises(ModelNotFoundError, match=rf"has no {missing}\n.*local_files_only"):
            Model("org/dense", local_files_only=True)
    right = Model(dense).encode(TEXTS)
    np.testing.assert_array_equal(Model("org/dense").encode(TEXTS), right)
    assert set(hub.fetched()) == {missing}
    # Complete files are known from then on, and missing ones, too.
    hub.log.clear()
    np.testing.assert_array_equal(Model("org/dense").encode(TEXTS), right)
    assert hub.log == []
    (snapshot(cache, "org/dense") / missing).unlink()
    with pytest.raises(ModelNotFoundError, match=rf"has no {missing}\n.*local_files_only"):
        Model("org/dense", local_files_only=True)


@pytest.mark.parametrize("missing", ["query_0_SparseStaticEmbedding/model.safetensors", "router_config.json"])
def test_a_file_of_a_route_is_fetched(hub: Hub, cache: Path, missing: str) -> None:
    folder = DATA / "sparse" / "splade-router-static-query" / "model"
    assert (folder / missing).exists(), sorted(folder.rglob("*"))
    hub.add("org/router", folder)
    fill(cache, "org/router", folder, without=(missing,))
    with pytest.raises(ModelNotFoundError, match=f"has no {missing}"):
        SparseModel("org/router", local_files_only=True)
    assert SparseModel("org/router").encode_query(TEXTS) == SparseModel(folder).encode_query(TEXTS)
    assert set(hub.fetched()) == {missing}


@pytest.mark.parametrize("shard", ["model-00001-of-00001.safetensors", "part.safetensors"])
def test_a_shard_is_fetched(hub: Hub, cache: Path, tmp_path: Path, shard: str) -> None:
    folder = tmp_path / "sharded"
    shutil.copytree(CASE.model, folder)
    header = (folder / "model.safetensors").rename(folder / shard).read_bytes()
    (length,) = struct.unpack("<Q", header[:8])
    tensors = [name for name in json.loads(header[8 : 8 + length]) if name != "__metadata__"]
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": dict.fromkeys(tensors, shard)}))
    hub.add(NAME, folder)
    fill(cache, NAME, folder, without=(shard,))
    with pytest.raises(ModelNotFoundError, match=f"has no {shard}"):
        Model(NAME, local_files_only=True)
    check(Model(NAME))
    assert set(hub.fetched()) == {shard}
    hub.add("org/whole", folder)
    check(Model("org/whole"))
    (snapshot(cache, "org/whole") / shard).unlink()
    with pytest.raises(ModelNotFoundError, match=f"has no {shard}"):
        Model("org/whole", local_files_only=True)


def test_a_whole_snapshot_of_another_programs_is_asked_for_once(hub: Hub, cache: Path) -> None:
    fill(cache, NAME, CASE.model)
    check(Model(NAME, local_files_only=True))
    assert hub.log == []
    # It is the cached commit whose files are asked for, wherever the branch is by now.
    hub.revisions["main"] = "f" * 40
    check(Model(NAME))
    assert [request.path for request in hub.log] == [f"/api/models/{NAME}/revision/{COMMIT}"]
    assert (cache / "models--org--small" / "refs" / "main").read_text() == COMMIT
    hub.log.clear()
    check(Model(NAME))
    assert hub.log == []


@pytest.mark.parametrize("status", [401, 403, 404, 500, 503])
def test_where_the_hub_tells_nothing_a_snapshot_is_taken_as_it_is(hub: Hub, cache: Path, status: int) -> None:
    fill(cache, NAME, CASE.model)
    hub.faults[f"/revision/{COMMIT}"] = [Fault(status)]
    check(Model(NAME))
    assert len(hub.log) == 1
    hub.close()
    check(Model(NAME))


def test_a_list_of_another_commit_is_not_taken(hub: Hub, cache: Path) -> None:
    fill(cache, NAME, CASE.model)
    hub.repositories[NAME]["tokenizer_config.json"] = b"{"
    hub.revisions[COMMIT] = "f" * 40
    check(Model(NAME))
    assert hub.fetched() == []


@pytest.mark.skipif(sys.platform == "win32", reason="folders are read-only by other means there")
def test_a_read_only_snapshot_of_another_programs(hub: Hub, cache: Path, tmp_path: Path) -> None:
    fill(cache, NAME, CASE.model)
    for folder in (tmp_path, *tmp_path.parents):
        folder.chmod(folder.stat().st_mode | 0o55)
        if folder.name.startswith("pytest-of"):
            break
    folders = [cache, *(path for path in cache.rglob("*") if path.is_dir())]
    for path in folders:
        path.chmod(0o555)
    done = run(READ_ONLY)
    for path in folders:
        path.chmod(0o755)
    assert done.stdout == "(32,)\n", done


def test_a_cross_encoder_that_snapshot_download_fetched_loads_offline(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in images of containers: no modules.json, no README, and nothing that says so."""
    folder = tmp_path / "reranker"
    shutil.copytree(DATA / "rerank" / "rerank-bert" / "model", folder)
    for name in ("modules.json", "config_sentence_transformers.json", "sentence_bert_config.json"):
        (folder / name).unlink(missing_ok=True)
    fill(cache, "cross-encoder/small", folder)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    pairs = [("a query", "a passage"), ("a", "b")]
    right = Reranker(folder).predict(pairs)
    np.testing.assert_array_equal(Reranker("small").predict(pairs), right)
    # What sentence-transformers fetches file by file has marks, of modules.json since version 5 only.
    marks = cache / "models--cross-encoder--small" / ".no_exist" / COMMIT
    marks.mkdir(parents=True)
    (marks / "added_tokens.json").touch()
    np.testing.assert_array_equal(Reranker("small").predict(pairs), right)


# Offline


@pytest.mark.parametrize("variable", ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"])
@pytest.mark.parametrize("value", ["1", "on", "YES", "True"])
def test_offline_makes_no_connection(hub: Hub, monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ModelNotFoundError, match=f"not asked because of {variable}"):
        Model(NAME)
    with pytest.raises(ModelNotFoundError):
        Model("another", local_files_only=True)
    assert hub.log == []


def test_a_path_makes_no_connection(hub: Hub) -> None:
    check(Model(CASE.model))
    with pytest.raises(ModelNotFoundError):
        Model("./no/such/folder")
    assert hub.log == []


# Tokens


def test_https_by_certificates_of_the_environments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    hub = Hub(context)
    hub.add(NAME, CASE.model)
    hub.token = TOKEN
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    with pytest.raises(DownloadError, match=r"certificate: UnknownIssuer$"):
        Model(NAME, token=TOKEN)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    check(Model(NAME, token=TOKEN))
    hub.add("org/downgraded", CASE.model)
    hub.faults["GET config.json"] = [Fault(302, {"Location": "http://127.0.0.1/config.json"})]
    with pytest.raises(DownloadError, match="which is no address, or leaves https"):
        Model("org/downgraded", token=TOKEN)
    (tmp_path / "authority.pem").write_text("nothing")
    with pytest.raises(ModelFormatError, match="must hold certificates in PEM format"):
        Model("org/other")
    hub.close()


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_the_environments_proxy_carries_all_requests(hub: Hub, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    proxy = Proxy("me:proxy-password")
    monkeypatch.setenv(variable, f"http://me:proxy-password@{proxy.address}")
    check(Model(NAME))
    servers = {hub.address(server).removeprefix("http://") for server in (0, 1)}
    assert set(proxy.targets) == {f"CONNECT {server}" for server in servers}
    count = len(proxy.targets)
    hub.add("org/direct", CASE.model)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    check(Model("org/direct"))
    assert len(proxy.targets) == count
    proxy.close()


def test_a_proxy_that_fails_is_an_error_without_its_password(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = Proxy("me:proxy-password")
    for address in (f"me:wrong-password@{proxy.address}", "me:wrong-password@127.0.0.1:1"):
        monkeypatch.setenv("HTTP_PROXY", f"http://{address}")
        with pytest.raises(DownloadError) as raised:
            Model(NAME)
        assert "password" not in str(raised.value)
    assert hub.log == []
    proxy.close()


def test_a_token_is_shown_to_the_hub_and_to_nobody_else(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.token = TOKEN
    check(Model(NAME, token=TOKEN))
    assert {request.token for request in hub.log if not request.store} == {TOKEN}
    assert {request.token for request in hub.log if request.store} == {None}


@pytest.mark.parametrize("place", ["HF_TOKEN", "HF_TOKEN_PATH", "home"])
def test_the_environments_token(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    hub.token = TOKEN
    with pytest.raises(InvalidArgumentError, match="token: is required"):
        Model(NAME, token=True)
    file = tmp_path / ("hf/token" if place == "home" else "elsewhere")
    file.parent.mkdir(exist_ok=True)
    file.write_text(f"{TOKEN}\n")
    if place != "home":
        monkeypatch.setenv(place, TOKEN if place == "HF_TOKEN" else str(file))
    with pytest.raises(DownloadError, match="403"):
        Model(NAME, token=False)
    monkeypatch.setenv("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")
    with pytest.raises(DownloadError, match="403"):
        Model(NAME)
    check(Model(NAME, token=True))


def test_no_message_has_a_secret(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.token = "another"
    monkeypatch.setenv("HF_ENDPOINT", hub.url.replace("//", "//me:password@"))
    with pytest.raises(DownloadError) as refused:
        Model(NAME, token=TOKEN)
    hub.token = None
    hub.faults["STORE model.safetensors"] = [Fault(404)]
    with pytest.raises(DownloadError, match="404") as absent:
        Model(NAME, token=TOKEN)
    with pytest.raises(InvalidArgumentError) as malformed:
        Model(NAME, token="hf_a secret")
    for raised in (refused, absent, malformed):
        for secret in (TOKEN, "password", "signature", "secret"):
            assert secret not in str(raised.value)


# What the hub refuses


def test_a_model_missing_on_the_hub_lists_all_searched_locations(hub: Hub) -> None:
    with pytest.raises(
        ModelNotFoundError, match=r"(?s)no such folder.*cache.*no such repository, or a private one, which"
    ):
        Model("org/absent")
    hub.token = TOKEN
    with pytest.raises(ModelNotFoundError, match="to which the access token gives no access"):
        Model("org/absent", token=TOKEN)


def test_gated_and_unauthorized(hub: Hub) -> None:
    hub.token = TOKEN
    with pytest.raises(DownloadError, match=r"403 Forbidden: gated: accept the conditions"):
        Model(NAME)
    hub.faults["/main"] = [Fault(401)]
    with pytest.raises(DownloadError, match=r"401 Unauthorized: needs an access token: pass token="):
        Model(NAME)
    hub.faults["/main"] = [Fault(401)]
    with pytest.raises(DownloadError, match="the access token is not accepted"):
        Model(NAME, token="hf_other")


def test_a_file_that_vanishes_is_an_error(hub: Hub, cache: Path) -> None:
    hub.faults["HEAD tokenizer.json"] = [Fault(404)]
    with pytest.raises(DownloadError, match=r"tokenizer\.json: 404"):
        Model(NAME)
    assert not (cache / "models--org--small" / "refs").exists()
    check(Model(NAME))


def test_a_busy_hub_is_waited_for(hub: Hub) -> None:
    hub.faults["/main"] = [Fault(429, {"Retry-After": "1"}), Fault(503)]
    hub.faults["HEAD config.json"] = [Fault(500), Fault(502)]
    hub.faults["STORE model.safetensors"] = [Fault(504)]
    begun = time.monotonic()
    check(Model(NAME))
    assert time.monotonic() - begun >= 1


def test_a_hub_that_stays_busy_is_an_error(hub: Hub) -> None:
    hub.faults["/main"] = [Fault(503)] * 5
    with pytest.raises(DownloadError, match=r"503 Service Unavailable; tried 5 times"):
        Model(NAME)
    hub.faults["/main"] = [Fault(429, {"Retry-After": "3600"})]
    with pytest.raises(DownloadError, match=r"429 Too Many Requests; it asks to wait for 3600 seconds"):
        Model(NAME)


def test_no_hub_at_all(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.close()
    with pytest.raises(DownloadError, match="tried 5 times"):
        Model(NAME)
    for wrong in ("hub.example", "ftp://hub.example"):
        monkeypatch.setenv("HF_ENDPOINT", wrong)
        with pytest.raises(InvalidArgumentError, match="HF_ENDPOINT: must be an address"):
            Model(NAME)


def test_what_is_no_hub(hub: Hub) -> None:
    hub.repositories[NAME]["../../evil"] = b"x"
    with pytest.raises(DownloadError, match="must name files within the repository"):
        Model(NAME)
    hub.faults["/main"] = [Fault(204)]
    with pytest.raises(DownloadError, match="must be the JSON list of files"):
        Model(NAME)
    hub.faults["/main"] = [Fault(302, {"Location": "file:///etc/passwd"})]
    with pytest.raises(DownloadError, match="redirects to"):
        Model(NAME)
    hub.faults["/main"] = [Fault(302, {"Location": f"/api/models/{NAME}/revision/main"})] * 50
    with pytest.raises(DownloadError, match="more than 10 redirects"):
        Model(NAME)


# What goes wrong on the way


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json"])
def test_a_truncated_body_goes_on_where_it_ended(hub: Hub, cache: Path, name: str) -> None:
    store = "STORE" if name == "model.safetensors" else "GET"
    hub.faults[f"{store} {name}"] = [Fault(truncate=1000), Fault(truncate=500)]
    check(Model(NAME))
    ranges = [request.range for request in hub.log if request.path.endswith(name) and request.range]
    assert set(ranges) == {"bytes=1000-", "bytes=1500-"}
    assert is_clean(cache)


def test_a_stalled_body_is_given_up_and_tried_again(hub: Hub, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_DOWNLOAD_TIMEOUT", "1")
    hub.faults["STORE model.safetensors"] = [Fault(stall=1000)]
    check(Model(NAME))
    assert is_clean(cache)
    monkeypatch.setenv("HF_HUB_DOWNLOAD_TIMEOUT", "soon")
    with pytest.raises(InvalidArgumentError, match="HF_HUB_DOWNLOAD_TIMEOUT"):
        Model("org/other")


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_dripping_body_is_given_up_and_resumed(
    hub: Hub, cache: Path, monkeypatch: pytest.MonkeyPatch, framing: Literal["length", "chunked"]
) -> None:
    monkeypatch.setenv("HF_HUB_DOWNLOAD_TIMEOUT", "1")
    hub.framing = framing
    hub.faults["STORE model.safetensors"] = [Fault(drip=1000)]
    check(Model(NAME))
    (resumed,) = {request.range for request in hub.log if request.range}
    assert 1000 < int(resumed.removeprefix("bytes=").removesuffix("-")) < 1000 + DRIPS
    assert is_clean(cache)


def test_a_file_that_only_drips_is_an_error(hub: Hub, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_DOWNLOAD_TIMEOUT", "1")
    hub.faults["STORE model.safetensors"] = [Fault(drip=0)] * 5
    with pytest.raises(DownloadError, match=r"less than 1024 bytes a second after \d+ bytes; tried 5 times"):
        Model(NAME)
    check(Model(NAME))


def test_dripping_headers_are_given_up_and_asked_for_again(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_DOWNLOAD_TIMEOUT", "1")
    for request in ["/main", "HEAD config.json", "HUB model.safetensors", "STORE model.safetensors"]:
        hub.faults[request] = [Fault(drip_headers=True)]
    check(Model(NAME))


def test_a_dripping_list_of_files_is_an_error(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_DOWNLOAD_TIMEOUT", "1")
    hub.faults["/main"] = [Fault(drip=5)]
    with pytest.raises(DownloadError, match="less than 1024 bytes a second"):
        Model(NAME)
    check(Model(NAME))


def test_an_interrupted_download_goes_on_later(hub: Hub, cache: Path) -> None:
    hub.faults["STORE model.safetensors"] = [Fault(truncate=1000), *[Fault(404)] * 2]
    with pytest.raises(DownloadError, match="404"):
        Model(NAME)
    assert (snapshot(cache) / "config.json").exists() or not is_clean(cache)
    with pytest.raises(ModelNotFoundError):
        Model(NAME, local_files_only=True)
    hub.faults.clear()
    hub.log.clear()
    check(Model(NAME))
    assert "bytes=1000-" in {request.range for request in hub.log}
    assert is_clean(cache)


def test_other_content_than_the_hub_says_is_never_kept(hub: Hub, cache: Path) -> None:
    length = len(hub.repositories[NAME]["model.safetensors"])
    hub.faults["STORE model.safetensors"] = [Fault(replace=bytes(length))] * 5
    with pytest.raises(DownloadError, match="the received file has the hash"):
        Model(NAME)
    assert not (snapshot(cache) / "model.safetensors").exists()
    hub.faults["STORE model.safetensors"] = [Fault(replace=b"short")]
    check(Model(NAME))


def test_a_part_that_is_not_of_this_file_is_fetched_again(hub: Hub, cache: Path) -> None:
    check(Model(NAME))
    blob = (snapshot(cache) / "model.safetensors").resolve()
    for wrong in (b"x" * 100, b"x" * (blob.stat().st_size + 1), b"x" * blob.stat().st_size):
        blob.unlink()
        blob.with_name(f"{blob.name}.incomplete").write_bytes(wrong)
        check(Model(NAME))
        assert is_clean(cache)


# What a hub may not do


def size_on_disk(cache: Path) -> int:
    return sum(path.lstat().st_size for path in cache.rglob("*") if path.is_file())


@pytest.mark.parametrize("framing", ["close", "chunked"])
@pytest.mark.parametrize("name", ["GET 1_Pooling/config.json", "STORE model.safetensors"])
def test_a_body_longer_than_announced_is_stopped(hub: Hub, cache: Path, framing: str, name: str) -> None:
    hub.faults[name] = [Fault(endless=True)]
    if name.startswith("GET"):
        hub.faults[f"HEAD {name.removeprefix('GET ')}"] = [Fault(headers={"Content-Length": "100"})]
    hub.framing = framing
    with pytest.raises(DownloadError, match=r"sent more than \d+ bytes"):
        Model(NAME)
    assert size_on_disk(cache) < 1 << 20
    with pytest.raises(ModelNotFoundError):
        Model(NAME, local_files_only=True)
    hub.framing = "length"
    hub.faults.clear()
    check(Model(NAME))
    assert is_clean(cache)


def test_another_length_than_announced_is_not_read(hub: Hub, cache: Path) -> None:
    announced = len(hub.repositories[NAME]["model.safetensors"])
    fault = Fault(replace=bytes(announced + 1000))
    hub.faults["STORE model.safetensors"] = [fault] * 5
    with pytest.raises(
        DownloadError, match=f"announced {announced} bytes first, then {announced + 1000}; tried 5 times"
    ):
        Model(NAME)
    hub.faults["STORE model.safetensors"] = [fault]
    check(Model(NAME))
    assert is_clean(cache)


@pytest.mark.parametrize("framing", ["close", "chunked"])
@pytest.mark.parametrize("name", ["STORE model.safetensors", "GET tokenizer.json"])
def test_a_body_that_ends_early_is_never_kept_as_whole(hub: Hub, cache: Path, framing: str, name: str) -> None:
    """Neither a size nor a hash tells its end: with chunks the transfer does, else the format."""
    hub.framing, hub.opaque = framing, True
    hub.faults[name] = [Fault(truncate=100)] * 5
    with pytest.raises(DownloadError, match=r"after \d+ bytes"):
        Model(NAME)
    with pytest.raises(ModelNotFoundError):
        Model(NAME, local_files_only=True)
    hub.faults[name] = [Fault(truncate=100)]
    check(Model(NAME))
    assert is_clean(cache)


@pytest.mark.parametrize("framing", ["close", "chunked"])
def test_a_file_whose_end_nothing_tells_is_refused(hub: Hub, cache: Path, framing: str) -> None:
    hub.add("org/legacy", tiny("legacy-bert-mean-normalize").model)
    hub.repositories["org/legacy"]["vocab.txt"] = b"[PAD]\n[UNK]\n"
    hub.framing, hub.opaque = framing, True
    if framing == "close":
        with pytest.raises(DownloadError, match=r"vocab\.txt: can't check that the file is complete"):
            Model("org/legacy")
        hub.framing = "length"
    check(Model("org/legacy"))
    assert is_clean(cache)


@pytest.mark.parametrize("name", ["GET config.json", "HEAD config.json", "STORE model.safetensors", "/main"])
def test_an_encoding_that_was_not_asked_for_is_refused(hub: Hub, cache: Path, name: str) -> None:
    hub.faults[name] = [Fault(headers={"Content-Encoding": "gzip"})]
    with pytest.raises(DownloadError, match='content-encoding "gzip"'):
        Model(NAME)
    with pytest.raises(ModelNotFoundError):
        Model(NAME, local_files_only=True)
    hub.faults[name] = [Fault(headers={"Content-Encoding": "identity"})]
    check(Model(NAME))


def test_a_redirect_to_nowhere_is_refused(hub: Hub) -> None:
    for name in ("HEAD config.json", "GET config.json", "HEAD model.safetensors", "/main"):
        # More than one: requests of the call before may still be on their way.
        hub.faults[name] = [Fault(302)] * 4
        with pytest.raises(DownloadError, match="302 Found: the hub refuses the request"):
            Model(NAME)
        hub.faults.clear()
    check(Model(NAME))


def test_a_blob_of_another_size_is_fetched_again(hub: Hub, cache: Path) -> None:
    """As a full disk or a broken program leaves it."""
    check(Model(NAME))
    blob = (snapshot(cache) / "model.safetensors").resolve()
    (snapshot(cache) / "model.safetensors").unlink()
    blob.write_bytes(blob.read_bytes()[:1000])
    check(Model(NAME))


def test_control_c_stops_a_stalled_download(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.faults["STORE model.safetensors"] = [Fault(stall=1000)]
    begun = time.monotonic()
    check_interrupt(lambda: Model(NAME))
    assert time.monotonic() - begun < 100  # of the 1000 for which the hub is silent
    check(Model(NAME))


def test_progress_is_shown_where_a_person_looks(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Model(NAME)
    assert capsys.readouterr() == ("", "")
    hub.add("org/again", CASE.model)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    Model("org/again")
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "org/again: 100%" in shown.err
    hub.add("org/silent", CASE.model)
    monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    Model("org/silent")
    assert capsys.readouterr() == ("", "")


# The cache


def test_two_processes_at_once_fetch_each_file_once(hub: Hub, cache: Path) -> None:
    hub.delay = 0.3
    code = f"from rushlight import Model; print(Model({NAME!r}).encode('a').shape)"
    processes = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for process in processes:
        out, err = process.communicate(timeout=60)
        assert (out, err) == ("(32,)\n", "")
    small = [path for path in hub.fetched() if path != "model.safetensors"]
    assert len(small) == len(set(small))
    assert hub.fetched().count("model.safetensors") == 2  # the hub's redirect, and the store
    assert is_clean(cache)


FULL = """
import resource, sys
from rushlight import Model
from rushlight.exceptions import DownloadError
{limit}
try:
    Model({name!r})
except DownloadError as error:
    print("DownloadError:", error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="has no limit on the size of files")
def test_a_file_that_the_system_does_not_take(hub: Hub, cache: Path) -> None:
    limit = "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))"
    done = run(FULL.format(limit=limit, name=NAME))
    assert "can't write" in done.stdout, done
    assert "choose another cache by cache_folder" in done.stdout
    with pytest.raises(ModelNotFoundError):
        Model(NAME, local_files_only=True)
    check(Model(NAME))
    assert is_clean(cache)


@pytest.mark.skipif(sys.platform != "linux", reason="needs a small file system to fill")
def test_a_full_disk(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", small], capture_output=True, check=False
    ).returncode:
        pytest.skip("only root can mount a small file system")
    try:
        with pytest.raises(DownloadError, match=r"(?s)can't write .*No space left on device"):
            Model(NAME, cache_folder=small)
        with pytest.raises(ModelNotFoundError):
            Model(NAME, cache_folder=small, local_files_only=True)
        subprocess.run(["mount", "-o", "remount,size=8m", small], check=True)
        check(Model(NAME, cache_folder=small))
        assert is_clean(small)
    finally:
        subprocess.run(["umount", small], check=True)


@pytest.mark.skipif(sys.platform == "win32", reason="folders are read-only by other means there")
def test_a_read_only_cache(hub: Hub, cache: Path, tmp_path: Path) -> None:
    for folder in (tmp_path, *tmp_path.parents):
        folder.chmod(folder.stat().st_mode | 0o55)
        if folder.name.startswith("pytest-of"):
            break
    cache.mkdir(parents=True)
    cache.chmod(0o555)
    refused = run(READ_ONLY)
    assert "DownloadError" in refused.stderr, refused
    assert "Permission denied" in refused.stderr
    assert "choose another cache by cache_folder" in refused.stderr
    cache.chmod(0o755)
    Model(NAME)
    folders = [cache, *(path for path in cache.rglob("*") if path.is_dir() and not path.is_symlink())]
    for path in folders:
        path.chmod(0o555)
    hub.log.clear()
    done = run(READ_ONLY)
    for path in folders:
        path.chmod(0o755)
    assert done.stdout == "(32,)\n", done
    assert hub.log == []


HUGGINGFACE_HUB = f"""
import sys
from pathlib import Path
from huggingface_hub import hf_hub_download, snapshot_download
print(Path(hf_hub_download({NAME!r}, "model.safetensors")).resolve().stat().st_size)
"""


def test_huggingface_hub_finds_what_we_downloaded(hub: Hub) -> None:
    pytest.importorskip("huggingface_hub")
    Model(NAME)
    hub.log.clear()
    done = run(HUGGINGFACE_HUB)
    assert done.stdout.strip() == str(len(hub.repositories[NAME]["model.safetensors"])), done
    assert hub.fetched() == []
    done = run(HUGGINGFACE_HUB, env={**os.environ, "HF_HUB_OFFLINE": "1"})
    assert done.returncode == 0, done
    scan = run("from huggingface_hub import scan_cache_dir; i = scan_cache_dir(); print(len(i.repos), i.warnings)")
    assert scan.stdout.strip() in {"1 []", "1 frozenset()"}, scan


def test_we_find_what_huggingface_hub_downloaded(hub: Hub) -> None:
    pytest.importorskip("huggingface_hub")
    done = run(HUGGINGFACE_HUB)
    assert done.returncode == 0, done
    hub.log.clear()
    check(Model(NAME))
    # It had fetched the weights alone.
    assert "model.safetensors" not in hub.fetched()


def test_huggingface_hub_at_the_same_time(hub: Hub, cache: Path) -> None:
    pytest.importorskip("huggingface_hub")
    hub.delay = 0.3
    other = subprocess.Popen([sys.executable, "-c", HUGGINGFACE_HUB], stdout=subprocess.PIPE, text=True)
    for _ in range(100):
        if hub.log:
            break
        time.sleep(0.05)
    check(Model(NAME))
    assert other.communicate(timeout=60)[0].strip() == str(len(hub.repositories[NAME]["model.safetensors"]))
    store = [request for request in hub.log if request.store and request.method == "GET"]
    assert len(store) == 1
    assert is_clean(cache)
