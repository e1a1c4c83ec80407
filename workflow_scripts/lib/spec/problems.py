"""Messages about a wrong configuration: what is wrong, what is known, what was probably meant, and where it stands."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from ..errors import UserError

SHOWN = 12


class Problems:
    """Collects problems, so that one attempt shows all of them."""

    def __init__(self) -> None:
        self._found: dict[str, None] = {}

    def add(self, what: str, where: str) -> None:
        """Record a problem once; `where` is file:line."""
        self._found.setdefault(f"{what} ({where})")

    def check_known(self, said: str, name: str, known: Iterable[str], where: str) -> bool:
        """Whether `name` is known; if not, record `said` (`run 'a' names model`), what is known and the nearest."""
        known = list(known)
        if name in known:
            return True
        self.add(f"{said} {unknown(name, known)}", where)
        return False

    def raise_if_any(self) -> None:
        """UserError with all recorded problems, one per line."""
        messages = list(self._found)
        if len(messages) > SHOWN:
            messages = [*messages[:SHOWN], f"… and {len(messages) - SHOWN} more"]
        if messages:
            raise UserError("\n".join(messages))


def unknown(name: str, known: Iterable[str]) -> str:
    """`'sd51'; known: sd15, clip. Did you mean 'sd15'?`"""
    known = [str(one) for one in known]
    listed = f"'{name}'; known: {', '.join(known) or 'none'}"
    close = difflib.get_close_matches(str(name), known, n=1, cutoff=0.5)
    return f"{listed}. Did you mean '{close[0]}'?" if close else listed
