"""Too little memory of the GPU: batches are halved, results stay the same, and where nothing fits it is said."""

import pandas as pd
import pytest
import torch

from workflow_scripts.lib.batches import SIGNS, FittingBatches, memory_as_user_error
from workflow_scripts.lib.diffusion.pipelines import load_pipeline
from workflow_scripts.lib.diffusion.sampling import SamplingSettings, requests_for, sample_part
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.rewards.encoders import encode_part
from workflow_scripts.lib.shards import Part
from workflow_scripts.lib.training.encoding import encode_examples, pairs_of

TEXT = "CUDA out of memory. Tried to allocate 20.00 GiB"
SETTINGS = SamplingSettings(num_inference_steps=2, guidance_scale=1.0, height=32, width=32)


def only(limit, work, size_of=len):
    """`work` on a machine whose memory holds batches of `limit`; a list of the sizes that were tried comes with it."""
    tried = []

    def limited(batch, *args, **kwargs):
        tried.append(size_of(batch))
        if tried[-1] > limit:
            raise torch.OutOfMemoryError(TEXT)
        return work(batch, *args, **kwargs)

    return limited, tried


def test_a_batch_that_does_not_fit_is_halved_and_so_are_those_after_it(capsys):
    work, tried = only(3, lambda places: places, size_of=lambda places: places.stop - places.start)
    batches = FittingBatches(8, "images", "batch_size")
    assert [(p.start, p.stop) for p, _ in batches.map(work, 9)] == [(0, 2), (2, 4), (4, 6), (6, 8), (8, 9)]
    assert tried == [8, 4, 2, 2, 2, 2, 1]
    assert "a batch of 4 images does not fit into the GPU's memory; going on with 2" in capsys.readouterr().out
    assert [p.stop for p, _ in batches.map(work, 4)] == [2, 4], "what was found holds from then on"


def test_work_is_repeated_from_its_beginning():
    work, tried = only(2, lambda size: size, size_of=lambda size: size)
    assert FittingBatches(8, "pairs", "batch_size").repeat(work) == 2 and tried == [8, 4, 2]


@pytest.mark.parametrize("words", ["GET was unable to find an engine to execute this computation", *SIGNS[1:]])
def test_libraries_that_lack_memory_have_words_of_their_own(words):
    tried = []

    def work(size):
        tried.append(size)
        if size > 2:
            raise RuntimeError(words)
        return size

    assert FittingBatches(4, "images", "batch_size").repeat(work) == 2 and tried == [4, 2]


def test_another_error_of_a_gpu_is_not_taken_for_too_little_memory():
    def work(size):
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    with pytest.raises(RuntimeError, match="illegal memory access"):
        FittingBatches(4, "images", "batch_size").repeat(work)


def test_where_not_even_one_fits_it_is_said():
    work, _ = only(0, lambda places: places, size_of=lambda places: places.stop - places.start)
    with pytest.raises(UserError, match=r"batch of one.*CUDA out of memory\); use a GPU with more memory"):
        list(FittingBatches(2, "images", "batch_size").map(work, 2))


def test_a_size_that_decides_the_result_is_not_halved_but_named():
    refused = pytest.raises(UserError, match=r"too small for micro_batch_size 8 .*set micro_batch_size to 4, or wait")
    with refused, memory_as_user_error("micro_batch_size", 8, "wait"):
        raise torch.OutOfMemoryError(TEXT)


@pytest.fixture(scope="module")
def pipeline(pipeline_entry):
    return load_pipeline(pipeline_entry, {}, None, "cpu", torch.float32)


@pytest.fixture(scope="module")
def whole(pipeline, tmp_path_factory):
    """A part of ten images, drawn five at a time."""
    path = tmp_path_factory.mktemp("whole") / "part0.json"
    sample_part(pipeline, [requests()], SETTINGS, 5, path, "f")
    return Part(path)


def requests():
    prompts = pd.DataFrame({"prompt_id": range(5), "prompt": [f"{i} frogs" for i in range(5)]})
    return requests_for(prompts, 2, 0, "eval")


def pixels(part):
    return torch.stack([torch.from_numpy(image) for _, image in part.images()]).int()


def test_images_are_those_of_a_smaller_batch(pipeline, whole, tmp_path, monkeypatch):
    limited, tried = only(2, pipeline.unet.forward)
    monkeypatch.setattr(pipeline.unet, "forward", limited)
    path = tmp_path / "part0.json"
    sample_part(pipeline, [requests()], SETTINGS, 8, path, "f")
    assert tried[:3] == [8, 4, 2] and max(tried[2:]) == 2
    assert list(Part(path).index()["key"]) == list(whole.index()["key"])
    assert (pixels(Part(path)) - pixels(whole)).abs().max() <= 1
    assert torch.allclose(Part(path).latents(), whole.latents(), atol=1e-4)


def test_latents_are_those_of_a_smaller_batch(pipeline, whole, monkeypatch):
    pairs = pairs_of(whole, None)
    expected = encode_examples(pipeline, whole, pairs, "encoded", 4, 0)
    limited, tried = only(3, pipeline.vae.encode)
    monkeypatch.setattr(pipeline.vae, "encode", limited)
    found = encode_examples(pipeline, whole, pairs, "encoded", 8, 0)
    assert tried == [8, 4, 2, 2, 2, 2, 2]
    assert torch.allclose(found.best, expected.best, atol=1e-5)
    assert torch.allclose(found.worst, expected.worst, atol=1e-5)


def test_scores_are_those_of_a_smaller_batch(whole):
    class Brightness:
        def encode(self, images, prompts):
            return {"brightness": torch.tensor([image.mean() for image in images]), "index": number(prompts)}

    def number(prompts):
        return torch.tensor([int(prompt[0]) for prompt in prompts])

    expected, scorer = encode_part(Brightness(), whole, 10), Brightness()
    scorer.encode, tried = only(3, scorer.encode)
    found = encode_part(scorer, whole, 8)
    assert tried == [8, 4, 2, 2, 2, 2, 2] and found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in found)


def test_several_threads_decode_the_same_images_in_the_same_order(whole):
    alone, together = list(whole.images()), list(whole.images(threads=3))
    assert [row for row, _ in alone] == [row for row, _ in together]
    assert all((one == other).all() for (_, one), (_, other) in zip(alone, together, strict=True))
