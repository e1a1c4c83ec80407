"""A small hub on this machine: what huggingface_hub asks of the real one, and plain files for url sources."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LARGE = 1000
"""Bytes from which a file is kept as LFS, so that its checksum is a sha256."""


@dataclass
class Repository:
    """Files of a repository at the commit that its branch main is, and at those that it was before."""

    files: dict[str, bytes]
    gated: bool = False
    commit: str = COMMIT
    before: dict[str, dict[str, bytes]] = field(default_factory=dict)

    def move(self, commit: str, files: dict[str, bytes]) -> None:
        """Make the branch another commit."""
        self.before[self.commit] = self.files
        self.commit, self.files = commit, files

    def at(self, revision: str | None) -> tuple[str, dict[str, bytes]] | None:
        """Commit and files of a revision; None for one that does not exist."""
        if revision in (None, "main", self.commit):
            return self.commit, self.files
        return (revision, self.before[revision]) if revision in self.before else None


@dataclass
class Hub:
    """Repositories by (kind, name) and plain files by path; `asked` has every request as (verb, path, range).

    `breaks`: after so many bytes the connection of a path is cut, once; `stalls`: no more comes, once.
    The length of those in `unsized` is not said.
    """

    repositories: dict[tuple[str, str], Repository] = field(default_factory=dict)
    plain: dict[str, bytes] = field(default_factory=dict)
    breaks: dict[str, int] = field(default_factory=dict)
    stalls: dict[str, int] = field(default_factory=dict)
    unsized: set[str] = field(default_factory=set)
    asked: list[tuple[str, str, str | None]] = field(default_factory=list)
    token: str = "hf_accepted"
    url: str = ""
    over: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Answer at `url` while the context lasts."""
        server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": self}))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield
        finally:
            self.over.set()
            server.shutdown()
            server.server_close()

    def downloads(self) -> list[str]:
        """Names of the files that were asked for with GET, without what belongs to the hub's API."""
        return [path.rpartition("/")[2] for verb, path, _ in self.asked if verb == "GET" and "/api/" not in path]


API = r"/api/(model|dataset)s/([^/]+/[^/]+)/(auth-check|revision|tree)(?:/([^/]+))?"
FILE = r"(?:/(dataset)s)?/([^/]+/[^/]+)/resolve/([^/]+)/(.+)"


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def log_message(self, *words) -> None:
        pass

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.asked.append((self.command, path, self.headers.get("Range")))
        if path in self.hub.plain:
            self._file(self.hub.plain[path], {}, path)
        elif found := re.fullmatch(API, path):
            self._api(*found.groups())
        elif found := re.fullmatch(FILE, path):
            self._resolve(*found.groups())
        else:
            self._error(404, "EntryNotFound")

    def _refusal(self, kind: str, name: str, revision: str | None, reads: bool) -> tuple[int, str] | None:
        repository = self.hub.repositories.get((kind, name))
        if repository is None:
            return 404, "RepoNotFound"
        if reads and repository.gated and self.headers.get("Authorization") != f"Bearer {self.hub.token}":
            return 403, "GatedRepo"
        return None if repository.at(revision) else (404, "RevisionNotFound")

    def _api(self, kind: str, name: str, what: str, revision: str | None) -> None:
        if refusal := self._refusal(kind, name, revision, reads=what == "auth-check"):
            self._error(*refusal)
        elif what == "tree":
            _, files = self.hub.repositories[kind, name].at(revision)
            self._json([_entry(path, content) for path, content in files.items()])
        else:
            self._json({"id": name, "sha": self.hub.repositories[kind, name].at(revision)[0]})

    def _resolve(self, kind: str | None, name: str, revision: str, path: str) -> None:
        kind = kind or "model"
        refusal = self._refusal(kind, name, revision, reads=True)
        commit, files = (None, {}) if refusal else self.hub.repositories[kind, name].at(revision)
        if path not in files:
            self._error(*refusal or (404, "EntryNotFound"))
            return
        content = files[path]
        entry = _entry(path, content)
        etag = f'"{entry["lfs"]["oid"] if "lfs" in entry else entry["oid"]}"'
        self._file(content, {"ETag": etag, "X-Repo-Commit": commit, "X-Linked-Size": str(len(content))}, path)

    def _file(self, content: bytes, headers: dict[str, str], path: str) -> None:
        start = int(re.match(r"bytes=(\d+)-", self.headers.get("Range", "bytes=0-"))[1])
        if start >= len(content) > 0:
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if "Range" in self.headers else 200)
        length = {} if path in self.hub.unsized else {"Content-Length": str(len(content) - start)}
        for name, value in {**headers, **length, "Accept-Ranges": "bytes"}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        stall, cut = self.hub.stalls.pop(path, None), self.hub.breaks.pop(path, None)
        self.wfile.write(content[start : stall or cut])
        self.close_connection = bool(stall or cut or not length)
        if stall:
            self.wfile.flush()
            self.hub.over.wait()

    def _json(self, answer: object) -> None:
        self._file(json.dumps(answer).encode(), {"Content-Type": "application/json"}, self.path)

    def _error(self, status: int, code: str) -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()


def _entry(path: str, content: bytes) -> dict:
    """A file as the hub lists it: git's checksum, and its own for a large file."""
    oid = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
    entry = {"type": "file", "path": path, "size": len(content), "oid": oid}
    if len(content) >= LARGE:
        entry["lfs"] = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 130}
    return entry
