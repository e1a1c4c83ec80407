"""What makes a GPU faster changes nothing but roundings, which is seen on the CPU, too."""

import functools

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from workflow_scripts.lib.diffusion.acceleration import compile_blocks, use_channels_last
from workflow_scripts.lib.diffusion.pipelines import denoiser_of, load_pipeline
from workflow_scripts.lib.training.denoiser import Denoiser, predict, round_frozen
from workflow_scripts.lib.training.settings import OptimiserSettings

MODELS = {"sd15": "pipeline_entry", "sdxl": "xl_entry", "sd3": "sd3_entry"}


@pytest.fixture(params=MODELS)
def network(request):
    entry = request.getfixturevalue(MODELS[request.param])
    return denoiser_of(load_pipeline(entry, {}, None, "cpu", torch.float32))


@pytest.fixture
def sd3(sd3_entry):
    return denoiser_of(load_pipeline(sd3_entry, {}, None, "cpu", torch.float32))


def inputs_of(network):
    generator = torch.Generator().manual_seed(0)
    draw = functools.partial(torch.randn, generator=generator)
    text = {"prompt_embeds": draw(2, 24, 96)}
    if "SD3" in type(network).__name__:
        text["pooled_prompt_embeds"] = draw(2, 96)
    elif network.config.addition_embed_type:
        text |= {"pooled_prompt_embeds": draw(2, 64), "time_ids": torch.tensor([[32.0, 32, 0, 0, 32, 32]] * 2)}
    return draw(2, 4, 8, 8), torch.tensor([300, 700]), text


def prediction(network, autocast=False):
    noisy, timesteps, text = inputs_of(network)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        return predict(network, noisy, timesteps, **text)


def test_channels_last_changes_the_layout_alone_and_can_be_saved(tmp_path, network):
    expected = prediction(network)
    use_channels_last(network)
    weights = [m.weight for m in network.modules() if isinstance(m, torch.nn.Conv2d) and m.weight.shape[1] > 1]
    assert weights and all(one.is_contiguous(memory_format=torch.channels_last) for one in weights)
    assert torch.allclose(prediction(network), expected, atol=1e-5)
    network.save_pretrained(tmp_path)
    assert torch.allclose(prediction(type(network).from_pretrained(tmp_path).eval()), expected, atol=1e-5)


def test_channels_last_leaves_convolutions_over_frames_alone(video_entries):
    network = denoiser_of(load_pipeline(video_entries["video"], video_entries, None, "cpu", torch.float32))
    use_channels_last(network)
    assert any(isinstance(module, torch.nn.Conv3d) for module in network.modules())


def test_compiled_blocks_predict_the_same(sd3):
    expected = prediction(sd3)
    compile_blocks(sd3, backend="eager")
    assert all(block._compiled_call_impl is not None for block in sd3.transformer_blocks)
    assert torch.allclose(prediction(sd3), expected, atol=1e-6)


def test_a_network_without_repeated_blocks_is_not_compiled():
    network = torch.nn.Linear(2, 2)
    compile_blocks(network)
    assert network._compiled_call_impl is None


def test_frozen_weights_in_bfloat16_predict_the_same_under_autocast_bit_by_bit(network):
    network.requires_grad_(False)
    expected, full = prediction(network, autocast=True), prediction(network)
    exact = round_frozen(network, torch.bfloat16)
    assert all(value.dtype == torch.float32 for value in exact.values())
    assert sum(p.dtype == torch.bfloat16 for p in network.parameters()) == len(exact) > 20
    assert torch.equal(prediction(network, autocast=True), expected) and not torch.equal(expected, full)


class Accelerator:
    """As much of accelerate's as `Denoiser.prepare` asks for."""

    mixed_precision, device = "bf16", torch.device("cpu")

    def prepare(self, model):
        return model


def test_adapters_stay_float32_and_are_merged_into_the_weights_as_they_were_loaded(sd3):
    before = {name: value.clone() for name, value in sd3.state_dict().items()}
    denoiser = Denoiser(sd3, OptimiserSettings(1e-3, scope="lora", lora_rank=2), needs_reference=True)
    with torch.no_grad():
        for name, parameter in denoiser.trained().items():
            parameter.copy_(torch.full_like(parameter, 0.1 if "lora_A" in name else 0.01))
    expected = prediction(sd3, autocast=True)
    denoiser.prepare(Accelerator())
    assert torch.equal(prediction(sd3, autocast=True), expected)
    assert {parameter.dtype for parameter in denoiser.trained().values()} == {torch.float32}
    assert sd3.transformer_blocks[0].attn.to_q.base_layer.weight.dtype == torch.bfloat16
    merged = denoiser.merged().state_dict()
    assert merged.keys() == before.keys() and {value.dtype for value in merged.values()} == {torch.float32}
    moved = {name for name in before if not torch.equal(merged[name], before[name])}
    assert moved and all("attn" in name and "to_" in name for name in moved)
    name = "transformer_blocks.0.attn.to_q.weight"
    assert torch.allclose(merged[name] - before[name], torch.full_like(before[name], 2 * 0.1 * 0.01), atol=1e-7)


def test_nothing_is_rounded_where_all_weights_are_trained(network):
    denoiser = Denoiser(network, OptimiserSettings(1e-3), needs_reference=True)
    denoiser.prepare(Accelerator())
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}
    reference = denoiser._reference
    kinds = {p.dtype for m in reference.modules() if isinstance(m, torch.nn.Linear) for p in m.parameters()}
    assert kinds == {torch.bfloat16}
    noisy, timesteps, text = inputs_of(network)
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        assert torch.equal(
            denoiser.predict_reference(noisy, timesteps, **text), predict(network, noisy, timesteps, **text)
        )


class Operations(TorchDispatchMode):
    """What torch computes, in order, with the shapes and dtypes it does so on."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        if "detach" not in str(operation):  # of what is kept for the backward pass
            tensors = [argument for argument in args if isinstance(argument, torch.Tensor)]
            self.seen.append((str(operation), *((tuple(one.shape), one.dtype) for one in tensors)))
        return operation(*args, **(kwargs or {}))


def test_with_gradients_adapters_are_computed_by_the_same_operations(sd3):
    """Which kernels they take is the GPU's choice, but GRPO's ratios need the same to choose from."""
    training = OptimiserSettings(1e-3, scope="lora", lora_rank=2, lora_targets="attn")
    denoiser = Denoiser(sd3, training, needs_reference=False)
    denoiser.prepare(Accelerator())
    noisy, timesteps, text = inputs_of(sd3)
    seen = {}
    for wanted in (False, True):
        with torch.autocast("cpu", torch.bfloat16), torch.set_grad_enabled(wanted), Operations() as operations:
            predict(denoiser.network, noisy, timesteps, **text)
        seen[wanted] = operations.seen
    assert len(seen[True]) > 100 and seen[True] == seen[False]
