"""Files of a repository on the Hugging Face hub: whether they are here, may be fetched, and are what the hub has."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from .errors import UserError
from .files import checksum, disk_full_as_user_error, is_disk_full
from .models import complete, local_snapshot

AGAIN = "run the same command again, files that are whole are kept"


@dataclass(frozen=True)
class HubFiles:
    """Files (patterns; none: all) of a repository: a model's in the hub's cache, a data set's in a folder.

    `commit`: what a revision that is a branch was at the first download; it is what is fetched then.
    """

    repository: str
    revision: str
    patterns: tuple[str, ...] = ()
    folder: Path | None = None
    gated: str | None = None
    commit: str | None = None

    @property
    def name(self) -> str:
        """What they are called in messages."""
        return self.repository

    @property
    def kind(self) -> str:
        """What kind of repository it is, in the hub's word."""
        return "model" if self.folder is None else "dataset"

    @property
    def page(self) -> str:
        """Page of the repository, where its terms stand."""
        return self.gated or f"https://huggingface.co/{'datasets/' * (self.kind == 'dataset')}{self.repository}"

    def present(self) -> bool:
        """Whether all are on this machine; nothing is asked of the hub."""
        return self._local() is not None

    def missing_bytes(self) -> int:
        """Bytes still to fetch. UserError unless the hub has the files at that revision and this user may have them."""
        from huggingface_hub import HfApi

        with self._explained(), _without_bars():
            HfApi().auth_check(self.repository, repo_type=self.kind)
            files = self._download(dry_run=True)
        if absent := [one for one in self.patterns if not any(fnmatch(file.filename, one) for file in files)]:
            raise UserError(self._lacks(absent))
        return sum(file.file_size for file in files if file.will_download)

    def fetch(self) -> None:
        """Fetch the files that are missing and check all. UserError if that cannot be.

        The hub's client takes up a broken connection; a file during which it was killed it begins anew.
        """
        if not self.present():
            place = self.folder or _cache()
            place.mkdir(parents=True, exist_ok=True)
            with disk_full_as_user_error(place), self._explained(), _without_bars(unless=sys.stderr.isatty()):
                self._download()
        if (folder := self._local()) is None:
            raise UserError(self._lacks(self.patterns))
        self._verify(folder)

    def record(self) -> dict:
        """What was fetched, for a record: the commit is what a revision that is a branch meant on that day."""
        folder = self._local()
        files = {name: {"bytes": (folder / name).stat().st_size} for name in self._names(folder)}
        for name in files:
            if (checksum := expected_checksum(folder, name)) and len(checksum) == 64:
                files[name]["sha256"] = checksum
        commit = self.commit or (folder.name if self.folder is None else _commit(folder, next(iter(files))))
        return {"hub": self.repository, "revision": self.revision, "commit": commit, "files": files}

    def named(self) -> list[Path]:
        """Where those files lie that were asked for by name."""
        folder = self._local()
        return [folder / name for name in self.patterns if (folder / name).is_file()]

    @property
    def _fixed(self) -> str:
        return self.commit or self.revision

    def _local(self) -> Path | None:
        if self.folder is None:
            return local_snapshot(self.repository, self._fixed, self.patterns)
        return self.folder if complete(self.folder, self.patterns) else None

    def _names(self, folder: Path) -> list[str]:
        paths = {path for one in self.patterns or ["**/*"] for path in folder.glob(one) if path.is_file()}
        return sorted(str(path.relative_to(folder)) for path in paths)

    def _download(self, **more):
        from huggingface_hub import snapshot_download

        return snapshot_download(
            self.repository,
            repo_type=self.kind,
            revision=self._fixed,
            allow_patterns=list(self.patterns) or None,
            local_dir=self.folder,
            **more,
        )

    def _verify(self, folder: Path) -> None:
        """Every file must have the checksum that the hub gave with it; what somebody put there by hand has none."""
        for name in self._names(folder):
            if (expected := expected_checksum(folder, name)) and checksum(folder / name, len(expected)) != expected:
                real = (folder / name).resolve()
                raise UserError(f"{real} is not what {self.repository} has as {name}; delete it, then {AGAIN}")

    def _lacks(self, patterns: Sequence[str]) -> str:
        return (
            f"{self.repository} at revision {self._fixed} has no files such as {', '.join(patterns)}; "
            f"compare what the registry asks for with {self.page}"
        )

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn errors of the hub and of the way to it into UserErrors; a full disk passes."""
        from huggingface_hub.errors import HTTPError

        try:
            yield
        except (OSError, HTTPError) as error:
            if is_disk_full(error):
                raise
            raise UserError(self._explanation(error)) from error

    def _explanation(self, error: Exception) -> str:
        from huggingface_hub import constants, errors

        if isinstance(error, errors.GatedRepoError):
            return f"{self.repository}: accept its terms at {self.page}, then `hf auth login`"
        if isinstance(error, errors.RevisionNotFoundError):
            was = f", which {self.revision} was at the first download" if self.commit else ""
            return f"{self.repository} has no revision {self._fixed}{was}; correct it in the registry"
        if isinstance(error, errors.RepositoryNotFoundError):
            return f"{self.repository} is not on the hub, or hidden from you: see {self.page}, and `hf auth login`"
        reason = error.__cause__ or error
        said = f"{type(reason).__name__}: {' '.join(str(reason).split())}"
        if not isinstance(reason, errors.HfHubHTTPError):
            return f"{constants.ENDPOINT} cannot be reached from here ({said}); where it can be, {AGAIN}"
        return f"{self.repository} cannot be fetched ({said}); {AGAIN}"


@contextmanager
def _without_bars(unless: bool = False) -> Iterator[None]:
    """The hub's progress bars are for terminals: they would fill a log."""
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    if unless or are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()


def offline() -> bool:
    """Whether the environment forbids to reach out (HF_HUB_OFFLINE=1)."""
    from huggingface_hub import constants

    return constants.HF_HUB_OFFLINE


def _cache() -> Path:
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def expected_checksum(folder: Path, name: str) -> str | None:
    """What the hub said of a file: its sha256 (64 digits) or git's sha1 (40); None where it was not fetched from it.

    In the cache a file is a link to a blob that is called by it, in a folder it stands in the second line beside it.
    """
    if (folder / name).is_symlink():
        return Path(os.readlink(folder / name)).name
    metadata = _metadata(folder, name)
    return metadata[1] if metadata else None


def _commit(folder: Path, name: str) -> str | None:
    metadata = _metadata(folder, name)
    return metadata[0] if metadata else None


def _metadata(folder: Path, name: str) -> Sequence[str]:
    path = folder / ".cache/huggingface/download" / f"{name}.metadata"
    return path.read_text().splitlines() if path.is_file() else ()
