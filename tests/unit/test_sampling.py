"""Sampling: an image depends on its prompt and seed alone; killed jobs keep their shards."""

import numpy as np
import pandas as pd
import pytest
import torch

from workflow_scripts.lib import progress
from workflow_scripts.lib.diffusion.pipelines import load_pipeline
from workflow_scripts.lib.diffusion.sampling import (
    SamplingSettings,
    decode,
    images_at_once,
    requests_for,
    sample,
    sample_part,
)
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.shards import Part
from workflow_scripts.lib.training import encoding
from workflow_scripts.lib.training.encoding import encode_examples, encode_texts, pairs_of
from workflow_scripts.lib.training.examples import Examples, conditioning

SETTINGS = SamplingSettings(num_inference_steps=3, guidance_scale=1.0, height=32, width=32)
PROMPTS = pd.DataFrame(
    {
        "prompt_id": range(5),
        "prompt": ["a frog on blue", "two cats on red", "the word SUN on green", "a cat on blue", "a heart on red"],
    }
)


@pytest.fixture(scope="module", params=["pipeline_entry", "xl_entry", "sd3_entry"])
def pipeline(request):
    return load_pipeline(request.getfixturevalue(request.param), {}, None, "cpu", torch.float32)


def requests(seed=0, stream="eval", samples=2):
    return requests_for(PROMPTS, samples, seed, stream)


@pytest.mark.parametrize("guidance_scale", [1.0, 3.0])
def test_batching_does_not_change_an_image(pipeline, guidance_scale):
    settings = SamplingSettings(3, guidance_scale, 32, 32)
    together, latents = sample(pipeline, requests(), settings)
    alone = torch.cat([sample(pipeline, [request], settings)[0] for request in requests()])
    assert together.shape == (10, 32, 32, 3)
    assert latents.shape == (10, 4, 8, 8)
    assert (together.int() - alone).abs().max() <= 1


def test_it_equals_the_pipeline_called_as_in_its_documentation(pipeline):
    request = requests()[3]
    without_t5 = {"max_sequence_length": 0} if hasattr(pipeline, "text_encoder_3") else {}
    theirs = pipeline(
        request.prompt,
        num_inference_steps=3,
        guidance_scale=3.0,
        height=32,
        width=32,
        generator=torch.Generator().manual_seed(request.seed),
        output_type="np",
        **without_t5,
    ).images[0]
    ours = sample(pipeline, [request], SamplingSettings(3, 3.0, 32, 32))[0][0].numpy()
    assert np.abs(np.rint(theirs * 255) - ours).max() <= 1


def test_a_large_batch_is_decoded_in_parts(pipeline, monkeypatch):
    whole, latents = sample(pipeline, requests(), SETTINGS)
    monkeypatch.setattr("workflow_scripts.lib.diffusion.sampling.PIXELS_AT_ONCE", 2 * 3 * 32 * 32)
    sizes, original = [], pipeline.vae.decode
    monkeypatch.setattr(pipeline.vae, "decode", lambda part: sizes.append(len(part)) or original(part))
    parts = decode(pipeline, latents)
    assert sizes == [3, 3, 3, 1]
    assert (parts.int() - whole).abs().max() <= 1


@pytest.mark.parametrize(("side", "half", "full"), [(512, 16, 8), (1024, 4, 2), (4096, 1, 1), (32, 4096, 2048)])
def test_a_vae_in_float32_takes_half_as_many_images_at_once(side, half, full):
    assert images_at_once(torch.float16, side, side) == images_at_once(torch.bfloat16, side, side) == half
    assert images_at_once(torch.float32, side, side) == full


def test_seeds_differ_by_prompt_number_replicate_and_stream():
    seeds = [r.seed for args in ((0, "eval"), (1, "eval"), (0, "train.r0"), (0, "train.r1")) for r in requests(*args)]
    assert len(set(seeds)) == 40


def test_a_killed_part_keeps_its_shards_and_ends_equal(tmp_path, pipeline, monkeypatch, capsys):
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    shards = [requests()[i : i + 4] for i in (0, 4, 8)]
    whole, broken = tmp_path / "whole" / "part0.json", tmp_path / "broken" / "part0.json"
    sample_part(pipeline, shards, SETTINGS, 2, whole, "f")

    calls = []
    from workflow_scripts.lib.diffusion import sampling

    def dies_in_shard_2(*args):
        calls.append(args[1])
        if len(calls) == 4:
            raise KeyboardInterrupt
        return sample(*args)

    monkeypatch.setattr(sampling, "sample", dies_in_shard_2)
    with pytest.raises(KeyboardInterrupt):
        sample_part(pipeline, shards, SETTINGS, 2, broken, "f")
    assert not broken.exists()
    calls[:] = [None] * 10
    capsys.readouterr()
    sample_part(pipeline, shards, SETTINGS, 2, broken, "f")
    said = [line.partition(",")[0] for line in capsys.readouterr().err.splitlines()]
    assert said == ["sampling: 6/10 (60%)", "sampling: 8/10 (80%)", "sampling: 10/10 (100%)"]
    assert len(calls) - 10 == 3  # shards 1 (two batches, one of them done before the kill) and 2
    assert whole.read_bytes() == broken.read_bytes()
    assert [(row.key, image.tobytes()) for row, image in Part(whole).images()] == [
        (row.key, image.tobytes()) for row, image in Part(broken).images()
    ]


def test_images_without_captions_cannot_be_trained_on():
    class Uncaptioned:
        def index(self):
            return pd.DataFrame({"prompt_id": [0, 1], "k": [0, 0], "prompt": ["a frog", ""]})

    with pytest.raises(UserError, match=r"1 of 2 images to train on have no caption; .*frog\.txt"):
        pairs_of(Uncaptioned(), None)


def test_references_of_a_prompt_are_equals_of_which_the_first_is_trained_on():
    class References:
        def index(self):
            return pd.DataFrame(
                {"prompt_id": [0, 0, 1, 1], "k": [0, 1, 0, 1], "prompt": ["a frog"] * 2 + ["a cat"] * 2}
            )

    assert list(pairs_of(References(), None)) == ["prompt", "best_key", "worst_key"]
    first = pairs_of(References(), None, first_only=True)
    assert first.to_dict("list") == {"prompt": ["a frog", "a cat"], "best_key": ["000000-00", "000001-00"]}


def test_texts_keep_the_arithmetic_of_their_encoders_and_condition_in_float32(monkeypatch):
    def lengths(pipeline, prompts, guided):
        return {"prompt_embeds": torch.tensor([[[len(prompt)]] for prompt in prompts], dtype=torch.bfloat16)}

    monkeypatch.setattr(encoding, "encode_prompts", lengths)
    found = encode_texts(None, ["", "one", "three", "seven  "], batch_size=3)
    assert found["prompt_embeds"].dtype == torch.bfloat16
    examples = Examples(torch.zeros(2, 1), None, torch.tensor([3, 1]), found)
    text = conditioning(examples, torch.tensor([0, 1, 1]), torch.tensor([False, False, True]), torch.device("cpu"))
    assert text["prompt_embeds"].dtype == torch.float32 and text["prompt_embeds"].flatten().tolist() == [7, 3, 0]


def test_encoded_latents_decode_to_the_image_and_sampler_latents_are_the_samplers_own(tmp_path, pipeline):
    path = tmp_path / "part0.json"
    sample_part(pipeline, [requests()], SETTINGS, 5, path, "f")
    part = Part(path)
    pairs = pairs_of(part, None)
    assert list(pairs["best_key"]) == [f"{i:06d}-00" for i in range(5)]
    own = encode_examples(pipeline, part, pairs, "sampler", 4, 0)
    assert torch.equal(own.worst, part.latents(list(pairs["worst_key"])))
    encoded = encode_examples(pipeline, part, pairs, "encoded", 4, 0)
    image = torch.from_numpy(next(iter(part.images(["000002-00"])))[1]).permute(2, 0, 1)[None] / 127.5 - 1
    with torch.no_grad():
        posterior = pipeline.vae.encode(image).latent_dist
    distance = (encoded.best[2] / pipeline.vae.config.scaling_factor - posterior.mean[0]) / posterior.std[0]
    assert abs(distance.mean().item()) < 0.3
    assert 0.8 < distance.std().item() < 1.2
    assert encoded.embeddings["prompt_embeds"].shape == (6, 24, 96)
    assert encoded.prompt_index.tolist() == [1, 2, 3, 4, 5]
