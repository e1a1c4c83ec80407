"""A small user study with known images, for the tests of studies."""

import json
from pathlib import Path

import numpy as np

from workflow_scripts.lib.shards import ImageRecord, ShardWriter, key_of, write_part
from workflow_scripts.lib.spec.loading import Document
from workflow_scripts.lib.spec.studies import read_study
from workflow_scripts.lib.study.key import Side
from workflow_scripts.lib.study.page import page
from workflow_scripts.lib.study.pairs import Source, make_pairs

NAMES = ("first_policy", "second_policy")
HOSTILE = "</script><script>alert('1')</script> & \"{{script}}\" \u2028 <img src=x onerror=alert(2)>"
PROMPTS = ["a frog on blue", HOSTILE, "two moons", "the word SUN", "عصفور على شجرة", "six birds " * 40]


def image_of(policy, prompt_id, k=0, size=32):
    """Noise on a colour of the policy's own, so that tests can tell whose image they see."""
    noise = np.random.default_rng([policy, prompt_id, k]).integers(0, 60, (size, size, 3))
    return (noise + np.array([[20, 60, 150], [190, 120, 30]][policy])).astype(np.uint8)


def write_samples(folder, policy, prompts=PROMPTS, ks=1, image=image_of):
    """Part files of a policy's samples, the prompts in two parts."""
    half, parts = len(prompts) // 2, []
    for part, numbers in enumerate((range(half), range(half, len(prompts)))):
        with ShardWriter(folder, f"part{part}.0000", "f00d") as writer:
            for number in numbers:
                for k in range(ks):
                    record = (key_of(number, k), image(policy, number, k), number, k, prompts[number], 7)
                    writer.add(ImageRecord(*record))
            shard = writer.commit()
        write_part(folder / f"part{part}.json", [shard], "f00d")
        parts.append(folder / f"part{part}.json")
    return parts


def study_of(name="my_study", questions=("quality", "alignment"), blurred=False, num_prompts=6, **about):
    """A study as its file would describe it; quality has a number in the paper."""
    texts = {one: {"text": {"value": f"Which has more {one}?", "assumed": "an example of a test"}} for one in questions}
    texts[questions[0]]["paper"] = {"win_rate": 70.0, "source": "Fig. 4a"}
    data = {
        "title": "Title <b>& more</b>",
        "introduction": "Choose.",
        "prompts": "eval",
        "num_prompts": {"value": num_prompts, "quoted": "Sec. 1"},
        "blurred": blurred,
        "a": {"title": "FirstTitle", "policy": NAMES[0]},
        "b": {"title": "SecondTitle", "policy": NAMES[1]},
        "questions": texts,
    }
    return read_study(name, Document("study.yaml", {**data, **about}, {(): 1}))


def sources_of(folder, **about):
    """Both policies' samples under a folder."""
    titles = ("FirstTitle", "SecondTitle")
    return [Source(Side(titles[i], NAMES[i], "first"), write_samples(folder / NAMES[i], i, **about)) for i in range(2)]


def write_page(folder: Path, study, **about):
    """The page and the key of a study, as written files, and the key itself."""
    sources = sources_of(folder, **about)
    key, images = make_pairs(study.name, "tiny", study.questions, *sources, study.num_prompts)
    (folder / "page.html").write_text(page(study, key, images), encoding="utf-8")
    (folder / "key.json").write_text(json.dumps(key.as_json()))
    return folder / "page.html", folder / "key.json", key


def votes_of(key, rater, choose, questions=("quality", "alignment")):
    """Cells of a rater's votes; `choose(pair number, question)` is whether B wins; A stands left in even pairs."""
    rows = []
    for number, pair in enumerate(key.pairs):
        left, right = (pair.a.name, pair.b.name) if number % 2 == 0 else (pair.b.name, pair.a.name)
        for question in questions:
            chosen = pair.b.name if choose(number, question) else pair.a.name
            rows.append([key.study, key.fingerprint, rater, pair.pair, question, left, right, chosen])
    return rows
