"""Discriminators on tiny models of the true classes, against independent computations of their steps."""

import numpy as np
import pytest
import torch
from tiny_encoders import PROMPTS, pictures
from torch import nn

from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.rewards.discriminators import (
    Discriminator,
    DiscriminatorSettings,
    FoundationDiscriminator,
    load_discriminator,
)
from workflow_scripts.lib.rewards.scorers import PickScore
from workflow_scripts.lib.spec import load_config

pytest_plugins = ["tiny_encoders"]
RECIPE = {"learning_rate": 0.01, "adam_beta1": 0.5, "adam_beta2": 0.999, "schedule": "trigger", "replay": 0}
PREFERENCE = RECIPE | {"kind": "preference", "loss": "bradley_terry", "trained_blocks": 1, "learning_rate": 1e-4}
FOUNDATION = RECIPE | {
    "kind": "foundation",
    "loss": "hinge",
    "cls_weight": 0.7,
    "patch_weight": 0.3,
    "cls_loss_weight": 1.0,
    "patch_loss_weight": 0.3,
    "normalise": True,
    "head_width": 8,
}


REAL, FAKE = torch.from_numpy(pictures(3, seed=1)), torch.from_numpy(pictures(3, seed=2))


@pytest.fixture
def entries(clip_folder):
    source = {"source": {"path": str(clip_folder)}}
    return {"preference": source | {"class": "PickScore"}, "foundation": source | {"class": "CLIPVisionTokens"}}


def made(entries, recipe: dict, **changes) -> Discriminator:
    return load_discriminator(recipe | changes, entries[recipe["kind"]])


BOTH = pytest.mark.parametrize("recipe", [PREFERENCE, FOUNDATION], ids=lambda recipe: recipe["kind"])


def test_a_preference_discriminator_begins_as_its_scorer(entries, clip_folder):
    expected = PickScore(clip_folder).encode(pictures(3, seed=2), PROMPTS)["pickscore"]
    torch.testing.assert_close(made(entries, PREFERENCE)(FAKE, PROMPTS), expected, rtol=0, atol=1e-5)
    divided = made(entries, PREFERENCE, reward_divisor=26.0)(FAKE, PROMPTS)
    torch.testing.assert_close(divided, expected / 26, rtol=0, atol=1e-6)


def test_only_the_last_vision_blocks_learn(entries):
    one = made(entries, PREFERENCE, learning_rate=0.01)
    model = one.scorer.clip.model
    before = {name: value.clone() for name, value in model.state_dict().items()}
    one.update(REAL, FAKE, PROMPTS)
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed and all(name.startswith("vision_model.encoder.layers.1.") for name in changed)
    assert {parameter.dtype for parameter in one.trained.values()} == {torch.float32}
    assert len(made(entries, PREFERENCE, trained_blocks=2).trained) == 2 * len(one.trained)
    with pytest.raises(UserError, match="trained_blocks is 3, but the vision encoder has 2 blocks"):
        made(entries, PREFERENCE, trained_blocks=3)


def test_half_precision_is_the_forward_pass_alone(entries):
    whole, half = (
        load_discriminator(PREFERENCE, entries["preference"], dtype=name) for name in ("float32", "bfloat16")
    )
    differences = (whole(FAKE, PROMPTS) - half(FAKE, PROMPTS)).abs()
    assert 0 < differences.max() < 0.1
    before = {name: parameter.detach().clone() for name, parameter in half.trained.items()}
    half.update(REAL, FAKE, PROMPTS)
    assert {parameter.dtype for parameter in half.trained.values()} == {torch.float32}
    moved = torch.cat([(half.trained[name] - before[name]).flatten() for name in before]).abs()
    assert (moved > 0).float().mean() > 0.9  # in bfloat16 weights, steps of 1e-4 would mostly be lost


def test_it_never_learns_in_float16(entries):
    """Whose smallest gradients are zeros: of well separated pairs nearly all."""
    one = load_discriminator(PREFERENCE, entries["preference"], dtype="float16")
    assert one.dtype == torch.bfloat16 and one.update(REAL, FAKE, PROMPTS)["grad_norm"] > 0


@pytest.mark.parametrize("loss", ["bradley_terry", "bce"])
def test_losses_of_preferences_are_those_of_the_scores(entries, clip_folder, loss):
    scorer = PickScore(clip_folder)
    real, fake = (scorer.encode(pictures(3, seed=seed), PROMPTS)["pickscore"].double().numpy() for seed in (1, 2))
    numbers = made(entries, PREFERENCE, loss=loss).update(REAL, FAKE, PROMPTS)
    if loss == "bradley_terry":
        expected = np.mean(np.log(1 + np.exp(fake - real)))
    else:
        expected = np.mean(np.log(1 + np.exp(-real))) + np.mean(np.log(1 + np.exp(fake)))
    assert numbers["loss"] == pytest.approx(expected, rel=1e-4)
    assert numbers["reference"] == pytest.approx(real.mean(), rel=1e-5)
    assert numbers["generated"] == pytest.approx(fake.mean(), rel=1e-5)
    assert numbers["accuracy"] == pytest.approx(np.mean(real > fake))


def tokens_by_hand(one: FoundationDiscriminator, images: torch.Tensor) -> torch.Tensor:
    """Tokens (B, 1 + N, d) of length √d, in float64."""
    cls, patches = one.model.tokens(images)
    tokens = torch.cat([cls[:, None], patches], dim=1).double()
    return tokens / tokens.square().mean(dim=2, keepdim=True).sqrt()


def hinge_by_hand(real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
    return 0.5 * ((1 - real).clamp(min=0).mean() + (1 + fake).clamp(min=0).mean())


def test_reward_and_step_of_the_head_equal_those_in_float64(entries):
    one = made(entries, FOUNDATION)
    head = nn.Sequential(nn.Linear(32, 8), nn.GELU(), nn.Linear(8, 1)).double()
    head.load_state_dict(one.head.state_dict())
    optimiser = torch.optim.Adam(head.parameters(), 0.01, (0.5, 0.999))
    real, fake = (head(tokens_by_hand(one, images)).squeeze(2) for images in (REAL, FAKE))
    rewards = 0.7 * fake[:, 0] + 0.3 * fake[:, 1:].mean(dim=1)
    torch.testing.assert_close(one(FAKE, PROMPTS).double(), rewards, rtol=0, atol=1e-6)
    loss = hinge_by_hand(real[:, 0], fake[:, 0]) + 0.3 * hinge_by_hand(real[:, 1:], fake[:, 1:])
    loss.backward()
    norm = torch.cat([parameter.grad.flatten() for parameter in head.parameters()]).norm()
    optimiser.step()
    numbers = one.update(REAL, FAKE, PROMPTS)
    assert numbers["loss"] == pytest.approx(loss.item(), rel=1e-5)
    assert numbers["grad_norm"] == pytest.approx(norm.item(), rel=1e-4)
    for name, parameter in head.named_parameters():
        torch.testing.assert_close(one.trained[name].double(), parameter, rtol=0, atol=1e-5)


def test_training_and_scoring_share_the_convention(entries):
    """As published the head is trained on raw and scores unit features; here reward and loss see the same logits."""
    raw, unit = (made(entries, FOUNDATION, normalise=flag) for flag in (False, True))
    assert not torch.allclose(raw(FAKE, PROMPTS), unit(FAKE, PROMPTS))
    for one in (raw, unit):
        before = one(REAL, PROMPTS).mean().item(), one(FAKE, PROMPTS).mean().item()
        numbers = one.update(REAL, FAKE, PROMPTS)
        assert (numbers["reference"], numbers["generated"]) == pytest.approx(before, abs=1e-6)


def test_without_patches_the_global_token_alone_counts(entries):
    one = made(entries, FOUNDATION, cls_weight=1.0, patch_weight=0.0, patch_loss_weight=0.0)
    logits = one.head(tokens_by_hand(one, FAKE)[:, 0].float()).squeeze(1)
    torch.testing.assert_close(one(FAKE, PROMPTS), logits, rtol=0, atol=1e-6)
    assert one.update(REAL, FAKE, PROMPTS)["loss"] > 0


@BOTH
def test_images_at_once_change_nothing(entries, recipe):
    whole, split = (made(entries, recipe, batch_size=size, colour_jitter=0.1) for size in (3, 2))
    torch.testing.assert_close(whole(FAKE, PROMPTS), split(FAKE, PROMPTS), rtol=0, atol=1e-5)
    numbers = [one.update(REAL, FAKE, PROMPTS) for one in (whole, split)]
    assert numbers[0] == pytest.approx(numbers[1], rel=1e-4)
    for name, parameter in whole.trained.items():
        torch.testing.assert_close(split.trained[name].grad, parameter.grad, rtol=1e-3, atol=1e-5)


@BOTH
def test_it_learns_to_tell_references_from_generated_images(entries, recipe):
    one = made(entries, recipe, learning_rate=0.01 if recipe["kind"] == "foundation" else 1e-3)
    for _ in range(40):
        one.update(REAL, FAKE, PROMPTS)
    assert (one(REAL, PROMPTS) > one(FAKE, PROMPTS)).all()
    assert one.updates == 40


@BOTH
def test_a_resumed_run_equals_an_unbroken_one(entries, recipe, tmp_path):
    unbroken, resumed = (made(entries, recipe, colour_jitter=0.1) for _ in range(2))
    for _ in range(2):
        unbroken.update(REAL, FAKE, PROMPTS)
    torch.save(unbroken.state_dict(), tmp_path / "state.pt")
    unbroken.update(REAL, FAKE, PROMPTS)
    resumed.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert resumed.updates == 2
    resumed.update(REAL, FAKE, PROMPTS)
    assert torch.equal(resumed(FAKE, PROMPTS), unbroken(FAKE, PROMPTS))


def test_a_state_of_another_discriminator_is_refused(entries):
    state = made(entries, FOUNDATION).state_dict()
    with pytest.raises(UserError, match="other trained weights .*resume with the recipe"):
        made(entries, FOUNDATION, head_width=16).load_state_dict(state)


@BOTH
def test_real_and_generated_images_take_one_path(entries, recipe):
    """The same picture twice cannot be told apart: nothing of the preprocessing is left to learn from."""
    one = made(entries, recipe)
    numbers = one.update(FAKE, FAKE.clone(), PROMPTS)
    assert numbers["reference"] == numbers["generated"] and numbers["accuracy"] == 0


def test_images_without_a_partner_are_refused(entries):
    with pytest.raises(UserError, match="learns from pairs, but was given 2 references, 3 images and 3 prompts"):
        made(entries, FOUNDATION).update(REAL[:2], FAKE, PROMPTS)


def test_what_is_not_finite_is_refused(entries):
    one = made(entries, FOUNDATION)
    with torch.no_grad():
        one.head[0].weight[0, 0] = float("nan")
    with pytest.raises(UserError, match="gradient of the discriminator is nan after 0 updates .*smaller learning_rate"):
        one.update(REAL, FAKE, PROMPTS)


def test_a_model_that_does_not_fit_is_refused(entries):
    with pytest.raises(UserError, match="gives no patch tokens"):
        load_discriminator(FOUNDATION, entries["foundation"] | {"class": "CLIPImageEmbeddings"})
    with pytest.raises(UserError, match="needs a CLIP of transformers, not World"):
        load_discriminator(PREFERENCE, {"class": "World"})


def test_the_same_seed_makes_the_same_head_whatever_was_drawn_before(entries):
    one = made(entries, FOUNDATION)
    torch.rand(7)
    other, another = made(entries, FOUNDATION), load_discriminator(FOUNDATION, entries["foundation"], seed=1)
    assert torch.equal(one(FAKE, PROMPTS), other(FAKE, PROMPTS))
    assert not torch.equal(one(FAKE, PROMPTS), another(FAKE, PROMPTS))


def test_settings_are_the_recipe_without_the_trainers_keys():
    settings = DiscriminatorSettings.of_recipe(PREFERENCE)
    assert (settings.kind, settings.loss, settings.learning_rate) == ("preference", "bradley_terry", 1e-4)
    assert (settings.adam_beta1, settings.reward_divisor) == (0.5, 1.0)


def test_tiny_models_of_the_registry_learn_that_references_are_crisp():
    from workflow_scripts.lib.world.prompts import draw_scenes
    from workflow_scripts.lib.world.quality import Quality, degrade
    from workflow_scripts.lib.world.render import render, to_uint8

    rng = np.random.default_rng(0)
    scenes = draw_scenes("train", 48, 0)
    crisp = [render(scene) for scene in scenes]
    spoilt = [degrade(image, Quality(0.9, 0.3, 0.02), rng) for image in crisp]
    real, fake = (torch.from_numpy(to_uint8(np.stack(images))) for images in (crisp, spoilt))
    prompts = [scene.caption() for scene in scenes]
    for recipe, model in ((FOUNDATION | {"head_width": 64}, "tiny_clip_tokens"), (PREFERENCE, "tiny_pickscore")):
        one = load_discriminator(recipe, load_config("config").model_entry(model))
        for _ in range(20):
            one.update(real[:32], fake[:32], prompts[:32])
        unseen = (one(image[32:], prompts[32:]) for image in (real, fake))
        assert (next(unseen) > next(unseen)).float().mean() > 0.8
