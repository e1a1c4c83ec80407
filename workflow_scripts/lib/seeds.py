"""Seeds that belong to what is made: batch size, resumption and the number of GPUs do not change an image."""

from __future__ import annotations

import hashlib
import json
import operator


def seed_of(*parts: str | float) -> int:
    """A 63-bit seed from its parts, the same on every machine: `seed_of(0, "eval", "a frog on blue", 3)`.

    Parts differ by type (1 is not "1") and by their borders ("ab", "c" is not "a", "bc"); numpy integers count as int.
    """
    text = json.dumps(parts, default=operator.index)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
