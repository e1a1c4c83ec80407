"""VBench's sixteen dimensions by its own package (PyPI `vbench`), one after the other, each kept when it is done."""

from __future__ import annotations

import contextlib
import os
import tempfile
from argparse import Namespace
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..data.videos import write_clip
from ..errors import UserError
from ..files import read_json, write_json
from ..shards import Collection
from .vbench import DIMENSIONS, FLICKERING
from .vbench_weights import SECTION, use_weights

if TYPE_CHECKING:
    import pandas as pd

UNITS = {"imaging_quality": 0.01}
"""Where the package scores clips in another unit than the dimension."""
AGREEMENT = 1e-4


@dataclass(frozen=True)
class Suite:
    """VBench's entries as its full-info file lists them: (prompt, dimensions) of each."""

    path: Path
    entries: Sequence[tuple[str, Sequence[str]]]

    def prompts(self, *dimensions: str) -> set[str]:
        """Prompts of some of these dimensions."""
        return {prompt for prompt, own in self.entries if set(own) & set(dimensions)}


def read_suite(path: Path) -> Suite:
    """VBench's full-info file; UserError when it is missing or not that file."""
    if not path.exists():
        raise UserError(f"{path} is missing; it comes with VBench: see {SECTION}")
    try:
        suite = Suite(path, [(entry["prompt_en"], entry["dimension"]) for entry in read_json(path)])
    except (KeyError, TypeError):
        raise UserError(f"{path} is not VBench's full-info file; get it as {SECTION} says") from None
    if outside := [prompt for prompt, _ in suite.entries if Path(prompt).name != prompt]:
        raise UserError(f"{path} has prompt {outside[0]!r}, which cannot name a clip; get the file as {SECTION} says")
    if missing := [name for name in DIMENSIONS if not suite.prompts(name)]:
        raise UserError(f"{path} has no prompts of {', '.join(missing)}; get it as {SECTION} says")
    return suite


def require_package(weights: Path) -> None:
    """Make the package ready, reading its weights from this folder; UserError when either is missing."""
    use_weights(weights)
    try:
        import vbench  # noqa: F401
    except ImportError as error:
        raise UserError(
            f"VBench's package cannot be imported ({error}); it needs an environment of its own: run with "
            f"--software-deployment-method conda (envs/vbench.yaml), or set vbench_python, see {SECTION}"
        ) from error


def evaluate(
    clips: Collection, flickering: Collection, suite: Suite, kept: Path, *, fps: int, device: str, fingerprint: str
) -> dict[str, dict]:
    """{dimension: {"score", "clips"}}, the clips as (prompt, number, score); dimensions already in `kept` are read.

    `clips` are samples of all prompts but those of temporal_flickering, `flickering` samples of those.
    """
    others = [name for name in DIMENSIONS if name != FLICKERING]
    found = {}
    for collection, names in ((clips, others), (flickering, [FLICKERING])):
        _require_prompts(collection, suite.prompts(*names))
        found |= {name: done for name in names if (done := _read(kept / f"{name}.json", fingerprint))}
        if missing := [name for name in names if name not in found]:
            with _exported(collection, kept, fps) as folder:
                if names == [FLICKERING]:
                    folder = _without_motion(folder)
                for name in missing:
                    found[name] = _score(name, folder, suite, device)
                    write_json(kept / f"{name}.json", found[name] | {"fingerprint": fingerprint})
    return {name: found[name] for name in DIMENSIONS}


def clip_table(results: dict[str, dict], suite: Suite) -> pd.DataFrame:
    """A row per dimension and clip: dimension, prompt, clip, score; NaN for a prompt without a score."""
    import pandas as pd

    rows = []
    for name, result in results.items():
        rows += [(name, prompt, number, score) for prompt, number, score in result["clips"]]
        scored = {prompt for prompt, _, _ in result["clips"]}
        rows += [(name, prompt, -1, float("nan")) for prompt in sorted(suite.prompts(name) - scored)]
    return pd.DataFrame(rows, columns=["dimension", "prompt", "clip", "score"])


def _require_prompts(collection: Collection, wanted: set[str]) -> None:
    found = set(collection.index()["prompt"])
    if found != wanted:
        differing = sorted(found ^ wanted)
        raise UserError(
            f"{collection.paths[0]} and its other parts hold clips of {len(found)} prompts, VBench has {len(wanted)}; "
            f"the first that differs: {differing[0]!r}; correct the prompt set's count and source and sample again"
        )


def _read(path: Path, fingerprint: str) -> dict | None:
    """The result of a dimension if it is there and made from the same."""
    if not path.exists():
        return None
    found = read_json(path)
    return found if found.pop("fingerprint") == fingerprint else None


@contextlib.contextmanager
def _exported(collection: Collection, beside: Path, fps: int) -> Iterator[Path]:
    """A folder of the clips as `{prompt}-{k}.mp4`, the names that VBench looks for; gone afterwards."""
    beside.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=beside, prefix="clips.") as folder:
        videos = Path(folder) / "videos"
        videos.mkdir()
        for row, frames in collection.images():
            write_clip(videos / f"{row.prompt}-{row.k}.mp4", frames, fps)
        yield videos


def _without_motion(videos: Path) -> Path:
    """The clips that the package's static filter lets pass, at most five of a prompt, in a folder beside them."""
    from vbench.cli.static_filter import static_filter

    result = videos.parent / "static"
    model = Path(os.environ["VBENCH_CACHE_DIR"]) / "raft_model/models/raft-things.pth"
    about = {"model": str(model), "videos_path": str(videos), "result_path": str(result), "store_name": "static.json"}
    raft = dict.fromkeys(("small", "mixed_precision", "alternate_corr"), False)
    static_filter(Namespace(filter_scope=FLICKERING, **about, **raft))
    chosen = result / "filtered_videos"
    if not any(chosen.glob("*.mp4")):
        raise UserError("VBench's static filter finds motion in every clip of temporal_flickering; look at the clips")
    return chosen


def _score(dimension: str, videos: Path, suite: Suite, device: str) -> dict:
    """The package's score of one dimension, and of each clip."""
    import torch
    from vbench import VBench

    out = videos.parent / "results"
    package = VBench(torch.device(device), str(suite.path), str(out))
    package.evaluate(
        videos_path=str(videos), name=dimension, dimension_list=[dimension], local=True, mode="vbench_standard"
    )
    return _checked(dimension, read_json(out / f"{dimension}_eval_results.json"), suite)


def _checked(dimension: str, written: dict, suite: Suite) -> dict:
    """What the package wrote of one dimension, if it is of that dimension and its clips average to its score."""
    if set(written) != {dimension}:
        raise UserError(f"VBench wrote results of {', '.join(written) or 'nothing'} when asked for {dimension}")
    score, results = written[dimension]
    unit = UNITS.get(dimension, 1.0)
    clips = [(*_prompt_and_number(one["video_path"]), unit * float(one["video_results"])) for one in results]
    if unknown := {prompt for prompt, _, _ in clips} - suite.prompts(dimension):
        raise UserError(f"VBench scored {dimension} on {min(unknown)!r}, which is none of its prompts")
    mean = sum(value for _, _, value in clips) / max(1, len(clips))
    if not abs(mean - score) <= AGREEMENT:
        raise UserError(
            f"VBench's {dimension} is {score}, but its clips average to {mean}; is the package not the pinned version?"
        )
    return {"score": float(score), "clips": clips}


def _prompt_and_number(path: str) -> tuple[str, int]:
    prompt, _, number = Path(path).stem.rpartition("-")
    return prompt, int(number)
