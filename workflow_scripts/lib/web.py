"""One file from a url: fetched resumably, checked, then renamed, so that it is either whole or absent."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from .errors import UserError
from .files import atomic_write, checksum, disk_full_as_user_error, is_disk_full, publish, sha256
from .locks import sole_writer
from .progress import progress

PIECE = 1 << 20
SECONDS = 60  # without a byte
PARTIAL, BEYOND_THE_END = HTTPStatus.PARTIAL_CONTENT, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
AGAIN = "run the same command again, it goes on where it stopped"


@dataclass(frozen=True)
class UrlFile:
    """A file and where it belongs; of a .zip that is not kept, the member whose name `path` ends with.

    `sha256` is what the registry says, or git's checksum; where it says nothing, `recorded` is the first download's.
    """

    url: str
    path: Path
    sha256: str | None = None
    recorded: str | None = None

    @property
    def name(self) -> str:
        """What it is called in messages."""
        return self.url

    def present(self) -> bool:
        """Whether it is on this machine, whatever its content."""
        return self.path.is_file()

    def missing_bytes(self) -> int:
        """Bytes still to fetch, where the server says how many; 0 where the file is there. UserError out of reach."""
        if self.present():
            return 0
        with _opened(Request(self.url, method="HEAD")) as answer:
            return int(answer.headers.get("Content-Length", 0))

    def fetch(self) -> None:
        """Fetch it unless it is there; a part that an interruption has left is continued. UserError if it cannot be."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        part = self.path.with_name(f".{Path(self.url).name}.part")
        with disk_full_as_user_error(self.path.parent), sole_writer(part):
            if not self.present():
                _continue(self.url, part)
                self._verify(part)
                self._place(part)
        if not self._packed:
            self._verify(self.path)

    def record(self) -> dict:
        """What was fetched, for a record."""
        about = {"bytes": self.path.stat().st_size, "sha256": sha256(self.path)}
        return {"url": self.url, "files": {self.path.name: about}}

    def named(self) -> list[Path]:
        """Where it lies when it was fetched."""
        return [self.path]

    @property
    def _packed(self) -> bool:
        return self.url.endswith(".zip") and self.path.suffix != ".zip"

    def _place(self, part: Path) -> None:
        if not self._packed:
            publish(part, self.path)
            return
        with (
            zipfile.ZipFile(part) as archive,
            archive.open(self._member(archive)) as packed,
            atomic_write(self.path) as temporary,
            temporary.open("wb") as file,
        ):
            shutil.copyfileobj(packed, file, PIECE)
        part.unlink()

    def _member(self, archive: zipfile.ZipFile) -> str:
        for name in archive.namelist():
            if self.path.match(name):
                return name
        raise UserError(f"{self.url} holds no {self.path.name}; correct its `urls` in config/data.yaml")

    def _verify(self, path: Path) -> None:
        """A file with another checksum is refused; what was just fetched is removed, as it cannot be continued."""
        expected = self.sha256 or (None if self._packed else self.recorded)  # recorded is the member's
        if expected is None or (found := checksum(path, len(expected))) == expected:
            return
        kind = "sha256" if len(expected) == 64 else "git's checksum"
        said = f"{self.url} has {kind} {expected}, the file here has {found}"
        if self.sha256 is None:
            said = (
                f"{said} (no checksum is registered: the first is that of the first download; register the right one)"
            )
        if path == self.path:
            raise UserError(f"{said}; delete {path}, then run the same command again")
        path.unlink()
        raise UserError(f"{said}: it was damaged on the way or has changed there; run the same command again")


def _continue(url: str, part: Path) -> None:
    """Append to `part` what is missing of the file of a url. UserError when the connection breaks."""
    start = part.stat().st_size if part.exists() else 0
    with _opened(Request(url, headers={"Range": f"bytes={start}-"} if start else {})) as answer:
        if answer.status == BEYOND_THE_END:
            if answer.headers.get("Content-Range") != f"bytes */{start}":
                part.unlink()
                raise UserError(
                    f"{url} is shorter than what is here of it, which was removed; run the same command again"
                )
            return
        start = start if answer.status == PARTIAL else 0  # a server may send all of it again
        length = answer.headers["Content-Length"]  # a server that does not say it marks the end
        with part.open("ab" if start else "wb") as file:
            for piece in progress(_pieces(answer, url), length and -(-int(length) // PIECE), f"{Path(url).name}, MB"):
                file.write(piece)
    total = start + int(length) if length else part.stat().st_size
    if part.stat().st_size != total:
        raise UserError(f"{url} broke off at {part.stat().st_size} of {total} bytes; {AGAIN}")


def _pieces(answer: HTTPResponse, url: str) -> Iterator[bytes]:
    try:
        while piece := answer.read(PIECE):
            yield piece
    except (HTTPException, OSError) as error:
        raise UserError(f"{url} broke off ({error}); {AGAIN}") from error


def _opened(request: Request) -> HTTPResponse:
    try:
        return urlopen(request, timeout=SECONDS)
    except HTTPError as error:
        if error.code == BEYOND_THE_END:
            return error
        raise UserError(f"{request.full_url} answers {error.code} {error.reason}; see docs/data.md") from error
    except OSError as error:
        if is_disk_full(error):
            raise
        raise UserError(f"{request.full_url} cannot be reached ({error}); {AGAIN}") from error
