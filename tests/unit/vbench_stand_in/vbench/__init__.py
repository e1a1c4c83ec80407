"""Stands in for PyPI's `vbench` 0.1.5: the same calls, files and names, the brightness of a clip as every score.

VBENCH_STAND_IN_FAILS names a dimension at which it breaks off, VBENCH_STAND_IN_LIES one whose score is not the mean of
its clips.
"""

import json
import os
from pathlib import Path

import av

SCALES = {"imaging_quality": 100}  # its clips are scored up to 100, the dimension up to 1
UNSEEN = {"color": "prompt 4"}  # the package leaves out clips in which it sees no object


class VBench:
    def __init__(self, device, full_info_dir, output_path):
        self.device, self.full_info_dir, self.output_path = device, full_info_dir, Path(output_path)
        self.output_path.mkdir(exist_ok=True)
        assert device.type == "cpu", "the package reads `.type` of a torch.device"

    def evaluate(self, videos_path, name, prompt_list=(), dimension_list=None, local=False, mode="vbench_standard"):
        (dimension,) = dimension_list
        assert local and mode == "vbench_standard"
        with open(os.environ["VBENCH_CACHE_DIR"] + "/calls", "a") as calls:
            calls.write(f"{dimension}\n")
        if dimension == os.environ.get("VBENCH_STAND_IN_FAILS"):
            raise RuntimeError("out of memory")
        results = []
        for entry in json.loads(Path(self.full_info_dir).read_text()):
            if dimension in entry["dimension"] and entry["prompt_en"] != UNSEEN.get(dimension):
                wanted = [Path(videos_path) / f"{entry['prompt_en']}-{i}.mp4" for i in range(5)]
                found = [path for path in wanted if path.exists()]
                results += [{"video_path": str(path), "video_results": brightness(path)} for path in found]
        score = sum(one["video_results"] for one in results) / len(results)
        score += 0.1 * (dimension == os.environ.get("VBENCH_STAND_IN_LIES"))
        for one in results:
            one["video_results"] *= SCALES.get(dimension, 1)
        (self.output_path / f"{name}_eval_results.json").write_text(json.dumps({dimension: [score, results]}))


def brightness(path):
    with av.open(str(path)) as container:
        assert container.streams.video[0].average_rate == 10
        frames = [frame.to_ndarray(format="rgb24").mean() for frame in container.decode(video=0)]
    return sum(frames) / len(frames) / 255
