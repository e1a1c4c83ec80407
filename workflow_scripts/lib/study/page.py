"""The page of a study: one HTML file that holds everything, works from a disk, loads nothing and sends nothing.

Its content security policy admits the page's own script and style (by their hashes) and images inside the page, nothing
else. Images are the stored WebP-lossless bytes. No name on the page tells a policy.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Mapping
from pathlib import Path

from ..files import sha256
from ..provenance import fingerprint
from ..spec import Study
from .key import Key

TEMPLATES = [Path(__file__).with_name(f"page.{suffix}") for suffix in ("html", "css", "js")]


def template_identity() -> str:
    """Changes with the page's template, style and script, which are no Python and so not in `code_of`."""
    return fingerprint(templates=[sha256(path) for path in TEMPLATES])


def page(study: Study, key: Key, images: Mapping[str, bytes]) -> str:
    """The page as HTML; `images` are WebP bytes by their names in the key."""
    skeleton, style, script = (path.read_text(encoding="utf-8") for path in TEMPLATES)
    policy = (
        f"default-src 'none'; img-src data:; style-src {_hash(style)}; script-src {_hash(script)}; "
        "base-uri 'none'; form-action 'none'"
    )
    parts = {
        "policy": policy,
        "title": html.escape(study.title),
        "introduction": html.escape(study.introduction),
        "style": style,
        "script": script,
        "study": _json_in_html(_public(study, key)),
        "images": "\n".join(_image(name, images[name]) for name in sorted(images)),
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], skeleton)


def _public(study: Study, key: Key) -> dict:
    """What the page knows of the study; the two images of a pair stand in the order of their names."""
    pairs = [
        {"pair": pair.pair, "prompt": pair.prompt, "images": sorted((pair.a.name, pair.b.name))} for pair in key.pairs
    ]
    questions = [{"name": question.name, "text": question.text} for question in key.questions]
    about = {"name": key.study, "fingerprint": key.fingerprint, "blurred": study.blurred}
    return {**about, "questions": questions, "pairs": pairs}


def _json_in_html(value: dict) -> str:
    """JSON that nothing in it can end the element around it."""
    text = json.dumps(value, ensure_ascii=True)
    return text.replace("&", r"\u0026").replace("<", r"\u003c").replace(">", r"\u003e")


def _image(name: str, data: bytes) -> str:
    encoded = base64.b64encode(data).decode()
    return f'<script type="text/plain" id="{name}">data:image/webp;base64,{encoded}</script>'


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
