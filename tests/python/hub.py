"""A hub on loopback, as much of the real one as a client sees, with faults that a test asks for."""

from __future__ import annotations

import hashlib
import json
import select
import socket
import ssl
import threading
import time
from base64 import b64encode
from collections import defaultdict
from dataclasses import dataclass, field
from http.client import parse_headers
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import TYPE_CHECKING, Literal
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable

COMMIT = "0123456789abcdef0123456789abcdef01234567"
# Bytes that a dripping answer sends one by one, for longer than a client should wait; then come the others.
DRIPS = 300


@dataclass
class Fault:
    """Fault of an answer, once: a status, or a body that ends or stalls too early, or never ends, or drips."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    truncate: int | None = None
    stall: int | None = None
    replace: bytes | None = None
    endless: bool = False
    # Bytes of the body before those that are sent one by one.
    drip: int | None = None
    # Headers of a refusal, sent one by one.
    drip_headers: bool = False


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    token: str | None
    range: str | None
    store: bool


class _Server(ThreadingHTTPServer):
    """A server that says nothing of callers who hang up, which some tests have them do."""

    def handle_error(self, request: object, client_address: object) -> None:
        pass


class Hub:
    """Repositories by name; large files are redirected to a store on another port, as the hub's are."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.tls = tls
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.revisions = {"main": COMMIT, COMMIT: COMMIT}
        self.token: str | None = None
        self.renamed: dict[str, str] = {}
        self.faults: dict[str, list[Fault]] = defaultdict(list)
        self.log: list[Request] = []
        self.delay = 0.0
        # End of bodies: by a length, by a last chunk, or by closing the connection.
        self.framing: Literal["length", "chunked", "close"] = "length"
        # True if etags are no hashes, and redirects tell no size.
        self.opaque = False
        self._servers = [self._serve(store=False), self._serve(store=True)]

    @property
    def url(self) -> str:
        return self.address(0)

    def address(self, server: int) -> str:
        return f"http{'s' if self.tls else ''}://127.0.0.1:{self._servers[server].server_port}"

    def add(self, name: str, folder: Path, **more: bytes) -> None:
        files = {
            str(path.relative_to(folder).as_posix()): path.read_bytes() for path in folder.rglob("*") if path.is_file()
        }
        self.repositories[name] = {**files, **{path.replace("__", "/"): data for path, data in more.items()}}

    def close(self) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()

    def fetched(self) -> list[str]:
        """Return the files whose bodies were asked for, sorted."""
        gets = [
            request.path for request in self.log if request.method == "GET" and not request.path.startswith("/api/")
        ]
        return sorted(path.split(f"/{COMMIT}/", 1)[1] for path in gets)

    def _serve(self, *, store: bool) -> ThreadingHTTPServer:
        hub = self

        class Handler(_Handler):
            pass

        Handler.hub, Handler.store = hub, store
        server = _Server(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        if self.tls is not None:
            server.socket = self.tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        return server


def etag(data: bytes, *, large: bool) -> str:
    return hashlib.sha256(data).hexdigest() if large else hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub
    store: bool
    more: dict[str, str]
    # Bytes of a dripping body that are sent at once.
    at_once: int | None

    def log_message(self, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        authorization = self.headers.get("authorization")
        token = authorization.removeprefix("Bearer ") if authorization else None
        self.hub.log.append(Request(self.command, path, token, self.headers.get("range"), self.store))
        fault = Fault()
        for suffix, faults in self.hub.faults.items():
            wanted, _, suffix = suffix.rpartition(" ")
            if faults and path.endswith(suffix) and wanted in {"", self.command, "STORE" if self.store else "HUB"}:
                fault = faults.pop(0)
                break
        self.more = fault.headers
        self.at_once = fault.drip
        if fault.drip_headers:
            self.drip(
                b"HTTP/1.1 404 Not Found\r\nX-Slow: " + b"." * DRIPS + b"\r\nContent-Length: 0\r\n\r\n",
                30,
                self.wfile.write,
            )
        elif fault.status != 200:
            self.answer(fault.status, b"no")
        elif path.startswith("/api/models/"):
            self.listing(*path.removeprefix("/api/models/").split("/revision/"))
        else:
            name, rest = path.lstrip("/").split("/resolve/")
            self.file(name, *rest.split("/", 1), fault)

    def listing(self, name: str, revision: str = "main") -> None:
        if name in self.hub.renamed:
            self.answer(307, Location=f"/api/models/{self.hub.renamed[name]}/revision/{revision}")
        elif name not in self.hub.repositories:
            self.answer(401 if self.hub.token is None else 404, **{"X-Error-Code": "RepoNotFound"})
        elif self.refuses():
            self.answer(403, **{"X-Error-Code": "GatedRepo"})
        elif revision not in self.hub.revisions:
            self.answer(404, **{"X-Error-Code": "RevisionNotFound"})
        else:
            siblings = [{"rfilename": path} for path in self.hub.repositories[name]]
            self.answer(
                200, json.dumps({"id": name, "sha": self.hub.revisions[revision], "siblings": siblings}).encode()
            )

    def refuses(self) -> bool:
        return self.hub.token is not None and self.hub.log[-1].token != self.hub.token

    def file(self, name: str, revision: str, path: str, fault: Fault) -> None:
        data = self.hub.repositories[name].get(path)
        commit = {"X-Repo-Commit": self.hub.revisions[revision]}
        if data is None:
            self.answer(404, **commit, **{"X-Error-Code": "EntryNotFound"})
        elif not self.store and self.refuses():
            self.answer(403, **{"X-Error-Code": "GatedRepo"})
        elif not self.store and path.endswith((".safetensors", ".bin")):
            location = f"{self.hub.address(1)}{self.path}?signature=secret"
            linked = {"X-Linked-Etag": self.etag(data, large=True)}
            if not self.hub.opaque:
                linked["X-Linked-Size"] = str(len(data))
            self.answer(302, b"moved", **commit, **linked, Location=location)
        else:
            time.sleep(self.hub.delay if self.command == "GET" else 0)
            self.body(data, fault, {**commit, "ETag": self.etag(data, large=self.store)})

    def etag(self, data: bytes, *, large: bool) -> str:
        name = etag(data, large=large)
        return f'"{name[:32]}-1"' if self.hub.opaque else f'"{name}"'

    def body(self, data: bytes, fault: Fault, headers: dict[str, str]) -> None:
        data = data if fault.replace is None else fault.replace
        start = int((self.headers.get("range") or "bytes=0-").removeprefix("bytes=").split("-")[0])
        if start >= len(data) > 0:
            self.answer(416)
            return
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        part = data[start:]
        framing = {
            "length": {"Content-Length": str(len(part))},
            "chunked": {"Transfer-Encoding": "chunked"},
            "close": {"Connection": "close"},
        }[self.hub.framing]
        self.send_response(206 if start else 200)
        for name, value in {**headers, **framing, **self.more}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        end = fault.truncate if fault.truncate is not None else fault.stall
        self.drip(part[:end], fault.drip, self.send)
        if fault.endless:
            for _ in range(200):
                self.send(bytes(1 << 20))
        if fault.stall is not None:
            time.sleep(5)
        if end is None and self.hub.framing == "chunked":
            self.wfile.write(b"0\r\n\r\n")
        if end is not None or self.hub.framing == "close":
            self.close_connection = True

    def drip(self, data: bytes, start: int | None, send: Callable[[bytes], object]) -> None:
        """Send data, those from a byte on slowly."""
        if start is None:
            send(data)
            return
        pieces = [data[:start], *(data[i : i + 1] for i in range(start, start + DRIPS)), data[start + DRIPS :]]
        for piece in filter(None, pieces):
            send(piece)
            time.sleep(0.1)

    def send(self, data: bytes) -> None:
        if self.hub.framing == "chunked" and data:
            data = b"%x\r\n%b\r\n" % (len(data), data)
        self.wfile.write(data)
        self.wfile.flush()

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body)), **self.more}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.drip(body, self.at_once, self.wfile.write)


class Proxy:
    """Proxy that tunnels, as companies' proxies do, and asks for a user and a password if it is given them."""

    def __init__(self, user: str | None = None) -> None:
        self.targets: list[str] = []
        proxy = self

        class Handler(StreamRequestHandler):
            def handle(self) -> None:
                method, target, _ = self.rfile.readline().decode().split()
                headers = parse_headers(self.rfile)
                given = headers.get("Proxy-Authorization")
                if user is not None and given != "Basic " + b64encode(user.encode()).decode():
                    self.wfile.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
                    return
                proxy.targets.append(f"{method} {target}")
                host, _, port = target.rpartition(":")
                with socket.create_connection((host, int(port))) as hub:
                    self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                    relay(self.connection, hub)

        self._server = ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        self.address = f"127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def relay(one: socket.socket, other: socket.socket) -> None:
    """Send what each of two connections says to the other, until one ends."""
    while True:
        for source in select.select([one, other], [], [])[0]:
            data = source.recv(1 << 16)
            if not data:
                return
            (other if source is one else one).sendall(data)
