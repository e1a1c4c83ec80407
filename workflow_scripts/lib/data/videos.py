"""Data sets of clips: excerpts of videos, their frames cropped and resized as images are; clips as video files."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ..errors import UserError
from .archives import fetched, zip_files

SUFFIXES = {".mp4", ".mov", ".webm", ".mkv", ".avi", ".gif"}
# What is opened, whatever a file's name says: others of FFmpeg's formats name further files and addresses (playlists).
FORMATS = {"format_whitelist": "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,gif"}
LARGEST_VIDEO = 4_000_000_000  # bytes
LARGEST_FRAME = 8192 * 8192  # pixels


def videos_of(source: dict, data_folder: Path) -> Iterator[tuple[str, BinaryIO]]:
    """Name and opened file of every video: of a folder, or of .zip archives of the hub."""
    if "path" in source:
        for path in sorted(path for path in Path(source["path"]).rglob("*") if _is_video(path) and path.is_file()):
            with path.open("rb") as file:
                yield str(path), file
        return
    for path in (fetched(source, data_folder) / name for name in source["files"]):
        for name, read in zip_files(path, _is_video, LARGEST_VIDEO, by_name=True):
            yield f"{path}:{name}", io.BytesIO(read())


def _is_video(name: str | Path) -> bool:
    return Path(name).suffix.lower() in SUFFIXES


def read_clip(file: BinaryIO, num_frames: int, shape: tuple[int, int], seconds: float | None, name: str) -> np.ndarray:
    """`num_frames` frames at equal distances in the middle `seconds` of a video (all of it: None).

    (F, height, width, 3) uint8, resized to cover `shape` and cropped to its centre. UserError for a video that is
    damaged, truncated or too short, or of frames too large.
    """
    import av
    from PIL import Image, ImageOps

    try:
        times = _times(file)
        chosen = chosen_frames(times, num_frames, seconds)
        frames = {}
        file.seek(0)
        with av.open(file, options=FORMATS) as container:
            container.streams.video[0].codec_context.options = {"max_pixels": str(LARGEST_FRAME)}
            for i, frame in enumerate(container.decode(video=0)):
                if i in chosen:
                    frames[i] = ImageOps.fit(frame.to_image(), shape[::-1], Image.Resampling.BICUBIC)
        return np.stack([np.asarray(frames[i]) for i in chosen])
    except (av.error.FFmpegError, IndexError, KeyError, ValueError) as error:
        raise UserError(
            f"{name} cannot be read as a video of at least {num_frames} frames, it is damaged, truncated or too short "
            f"({error}); remove or replace it"
        ) from error


def write_clip(path: Path, frames: np.ndarray, fps: int) -> None:
    """Write frames (F, H, W, 3) uint8, of even height and width, as H.264, nearly without loss (crf 10)."""
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps, options={"crf": "10"})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def _times(file: BinaryIO) -> list[float]:
    """Seconds at which the frames are shown, ascending; ValueError where the file holds fewer than it announces."""
    import av

    with av.open(file, options=FORMATS) as container:
        stream = container.streams.video[0]
        times = sorted(float(p.pts * p.time_base) for p in container.demux(stream) if p.pts is not None and p.size)
        if len(times) < stream.frames:
            raise ValueError(f"{len(times)} of {stream.frames} frames are there")
    return times


def chosen_frames(times: list[float], count: int, seconds: float | None) -> list[int]:
    """Which frames to take: those nearest to `count` equally distant times in the middle `seconds`, all different."""
    first, last = times[0], times[-1]
    half = min(last - first, seconds if seconds is not None else last - first) / 2
    wanted = np.linspace((first + last) / 2 - half, (first + last) / 2 + half, count)
    chosen = [int(np.abs(np.asarray(times) - time).argmin()) for time in wanted]
    if len(set(chosen)) < count:
        raise ValueError(f"{len(set(chosen))} frames in {2 * half:.2f} seconds")
    return chosen
