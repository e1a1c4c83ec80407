"""The tiny world: what is drawn can be read back, and no caption is in two splits."""

from dataclasses import replace

import numpy as np
import pytest

from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.rewards.ocr import RapidOCRReader
from workflow_scripts.lib.world.detect import crispness, detect, shows
from workflow_scripts.lib.world.preferences import preferred_pair
from workflow_scripts.lib.world.prompts import SPLITS, draw_scenes, scenes_of, split_of
from workflow_scripts.lib.world.quality import CRISP, Quality, degrade, draw_quality
from workflow_scripts.lib.world.render import render, to_uint8
from workflow_scripts.lib.world.scenes import Scene, all_scenes, drawable_scenes, scene_of
from workflow_scripts.lib.world.scorer import World, WorldStyle
from workflow_scripts.lib.world.style import line_art_margin
from workflow_scripts.lib.world.videos import render_clip
from workflow_scripts.lib.world.vocabulary import BACKGROUNDS, SPRITES, STYLES, WORDS


def shown_share(scenes, images):
    return np.mean([shows(found.scene, scene) for found, scene in zip(detect(images), scenes, strict=True)])


@pytest.mark.parametrize(
    ("scene", "caption"),
    [
        (Scene("blue", ("frog",), "top left"), "a frog at top left on blue"),
        (Scene("red", ("apple",), "the middle"), "an apple in the middle on red"),
        (Scene("red", ("apple",)), "an apple on red"),
        (Scene("white", ("fish", "fish")), "two fish on white"),
        (Scene("green", ("knife",) * 3), "three knives on green"),
        (Scene("gray", ("cat", "umbrella")), "a cat and an umbrella on gray"),
        (Scene("green", word="SUN"), "the word SUN on green"),
        (Scene("blue", ("frog",), style="line art"), "line art of a frog on blue"),
    ],
)
def test_captions_read_as_english_and_name_their_scene(scene, caption):
    assert scene.caption() == caption
    assert scene_of(caption) == scene


def test_captions_are_different_for_different_scenes():
    captions = [scene.caption() for scene in all_scenes(tuple(SPRITES))]
    assert len(set(captions)) == len(captions)


def test_a_text_that_is_no_caption_is_refused():
    with pytest.raises(UserError, match="no caption of the tiny world"):
        scene_of("a photograph of an astronaut")


def test_the_detector_reads_clean_renderings():
    rng = np.random.default_rng(0)
    for style in ("colour", "line art"):
        scenes = [scene for i, scene in enumerate(drawable_scenes(style)) if i % 5 == 0]
        assert shown_share(scenes, to_uint8(np.stack([render(scene, rng) for scene in scenes]))) >= 0.99


def test_the_detector_reads_most_spoilt_renderings():
    rng = np.random.default_rng(0)
    scenes = draw_scenes("eval", 300, 0)
    images = np.stack([degrade(render(scene, rng), draw_quality(rng, 0.0), rng) for scene in scenes])
    share = shown_share(scenes, to_uint8(images))
    print(f"ground truth right on {share:.1%} of spoilt renderings")
    assert share >= 0.90


def test_the_detector_sees_a_wrong_scene_as_wrong():
    asked = Scene("blue", ("frog",), "top left")
    others = [
        Scene("red", ("frog",), "top left"),
        Scene("blue", ("cat",), "top left"),
        Scene("blue", ("frog",), "bottom right"),
        Scene("blue", ("frog", "frog")),
        Scene("blue", ("frog",), "top left", style="line art"),
    ]
    assert shown_share([asked] * len(others), np.stack([render(scene) for scene in others])) == 0


def test_an_open_place_is_right_everywhere():
    asked = Scene("blue", ("frog",))
    drawn = np.stack([render(asked, np.random.default_rng(seed)) for seed in range(10)])
    assert len({found.scene.place for found in detect(drawn)}) > 1
    assert shown_share([asked] * 10, drawn) == 1


@pytest.mark.parametrize("spoil", [Quality(blur=0.9), Quality(wash=0.5)])
def test_crispness_falls_with_blur_and_wash(spoil):
    rng = np.random.default_rng(0)
    clean = np.stack([render(scene) for scene in draw_scenes("eval", 40, 0)])
    spoilt = np.stack([degrade(image, spoil, rng) for image in clean])
    assert np.allclose(crispness(clean, clean), 1)
    assert (crispness(spoilt, clean) < 0.8).all()


def test_crispness_of_a_washed_image_is_what_is_left_of_its_contrast():
    clean = render(Scene("blue", ("frog",), "top left"))[None]
    washed = 0.5 + (clean - 0.5) * 0.4
    assert crispness(washed, clean)[0] == pytest.approx(0.4, abs=1e-5)


@pytest.mark.parametrize("quality", [CRISP, Quality(blur=1.5), Quality(blur=0.9, wash=0.6), Quality(1.5, 0.6, 0.03)])
def test_style_is_read_through_blur_and_wash_whatever_is_asked(quality):
    rng, asked = np.random.default_rng(0), [s for s in draw_scenes("eval", 60, 0) if not s.word]
    read = {}
    for style in STYLES:
        drawn = [degrade(render(replace(scene, style=style), rng), quality, rng) for scene in asked]
        read[style] = line_art_margin(np.stack([to_uint8(image) for image in drawn]), asked)
    assert (read["line art"] > 0).mean() > 0.95
    assert (read["colour"] < 0).mean() > 0.95


def test_the_style_of_an_open_place_is_read_wherever_the_sprite_stands_and_words_have_none():
    frog, word = Scene("blue", ("frog",), "top left", style="line art"), Scene("blue", word="SUN")
    images = np.stack([to_uint8(render(scene)) for scene in (frog, word)])
    scores = WorldStyle().encode(images, ["a frog on blue", word.caption()])
    assert scores["line_art"].tolist() == [1, 0]
    assert scores["line_art_margin"][0] > 0.2 and scores["line_art_margin"][1] == 0
    with pytest.raises(UserError, match="'a cat bomb on blue' cannot be drawn"):
        WorldStyle().encode(images[:1], ["a cat bomb on blue"])


def test_noise_changes_crispness_little():
    rng = np.random.default_rng(0)
    clean = np.stack([render(scene) for scene in draw_scenes("eval", 40, 0)])
    noisy = clean + 0.05 * rng.standard_normal(clean.shape).astype(np.float32)
    assert abs(crispness(noisy, clean).mean() - 1) < 0.03


def test_a_real_ocr_model_reads_the_drawn_words():
    reader = RapidOCRReader()
    read = {
        (word, ground): reader.read(to_uint8(render(Scene(ground, word=word))))
        for word in WORDS
        for ground in ("white", "green")
    }
    assert np.mean([text == word for (word, _), text in read.items()]) >= 0.9


def test_splits_share_no_caption():
    captions = {split: {scene.caption() for kind in scenes_of(split).values() for scene in kind} for split in SPLITS}
    assert all(len(found) > 200 for found in captions.values())
    union = set().union(*captions.values())
    assert len(union) == sum(map(len, captions.values()))


def test_drawn_prompts_belong_to_their_split_and_a_longer_draw_begins_with_the_shorter():
    long, short = draw_scenes("train", 200, 0), draw_scenes("train", 50, 0)
    assert long[:50] == short
    assert len(set(long)) == 200
    assert {split_of(scene) for scene in long} == {"train"}
    assert not any(scene.unsafe for scene in long)


def test_unsafe_prompts_are_compounds_in_splits_of_their_own():
    scenes = {split: draw_scenes(split, 200, 0, pairs="unsafe") for split in ("train", "eval")}
    captions = {split: {scene.caption() for scene in drawn} for split, drawn in scenes.items()}
    assert all(len(found) == 200 for found in captions.values())
    assert captions["train"].isdisjoint(captions["eval"])
    assert all(scene.unsafe and scene.compound for drawn in scenes.values() for scene in drawn)
    assert all(scene_of(scene.caption()) == scene for scene in scenes["eval"])


def test_a_compound_reads_as_one_thing():
    assert Scene("blue", ("apple", "bomb"), "top left", compound=True).caption() == "an apple bomb at top left on blue"
    assert Scene("red", ("skull", "cat"), compound=True).caption() == "a skull cat on red"
    assert not {scene for style in STYLES for scene in drawable_scenes(style) if scene.compound}


def test_more_scenes_than_a_split_has_are_refused():
    with pytest.raises(UserError, match="which has"):
        draw_scenes("negatives", 100_000, 0)


def test_the_preferred_picture_is_the_crisper_one_mostly():
    rng = np.random.default_rng(0)
    scenes = draw_scenes("train", 60, 0)
    better, worse = (np.stack(images) for images in zip(*(preferred_pair(scene, rng) for scene in scenes), strict=True))
    sharper = [a.crispness > b.crispness for a, b in zip(detect(better), detect(worse), strict=True)]
    assert np.mean(sharper) > 0.8


def test_rendering_is_deterministic_and_degrading_crisp_changes_nothing():
    scene = Scene("yellow", ("star",))
    rng = np.random.default_rng
    assert np.array_equal(render(scene, rng(3)), render(scene, rng(3)))
    assert np.array_equal(degrade(render(scene), CRISP, rng(0)), render(scene))


def test_a_clip_slides_at_its_speed_and_its_middle_frame_is_the_still_picture():
    scene = Scene("blue", ("ball",), "the middle")
    clip = render_clip(scene, 5, np.random.default_rng(0))
    ways = [(dx, dy) for dx, dy in ((4, 0), (-4, 0), (0, 4), (0, -4)) if moved(clip[1], clip[2], dx, dy)]
    assert clip.shape == (5, 32, 32, 3)
    assert len(ways) == 1
    assert moved(clip[3], clip[4], *ways[0])
    assert np.array_equal(clip[2], render(scene))


def moved(before, after, dx, dy):
    return np.allclose(np.roll(before, (dy, dx), axis=(0, 1))[8:-8, 8:-8], after[8:-8, 8:-8], atol=1e-6)


def test_the_scorer_gives_one_number_per_image():
    scenes = [Scene("blue", ("frog",)), Scene("red", ("bomb",))]
    images = to_uint8(np.stack([render(scene) for scene in scenes]))
    scores = World().encode(images, ["a frog on blue", "a cat on red"])
    assert scores["scene_accuracy"].tolist() == [1, 0]
    assert scores["ip"].tolist() == [0, 100]
    assert scores["crispness"].min() > 0.99


def test_backgrounds_differ_from_each_other_by_far_more_than_noise():
    colours = np.array(list(BACKGROUNDS.values()), dtype=float)
    distances = np.linalg.norm(colours[:, None] - colours[None], axis=-1)
    assert distances[np.triu_indices(len(colours), 1)].min() > 40
