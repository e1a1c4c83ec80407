"""Random-weight pipelines of the true classes in folders, and training examples: a pytest plugin."""

import pytest
import torch

from workflow_scripts.lib.training.examples import Examples
from workflow_scripts.lib.zoo.tokenizer import train_tokenizer

SAMPLING = {"scheduler": "DDIMScheduler"}


@pytest.fixture(scope="session")
def pipeline_entry(tmp_path_factory):
    """A registry entry of a StableDiffusionPipeline: 32 pixels, 8x8x4 latents."""
    from diffusers import StableDiffusionPipeline

    from workflow_scripts.lib.zoo.stable_diffusion import build_scheduler, build_text_encoder, build_unet

    folder = tmp_path_factory.mktemp("pipeline")
    torch.manual_seed(0)
    tokenizer = train_tokenizer(folder / "words", vocab_size=600)
    StableDiffusionPipeline(
        vae=random_vae(),
        text_encoder=build_text_encoder(tokenizer).eval(),
        tokenizer=tokenizer,
        unet=build_unet((16, 16), 4).eval(),
        scheduler=build_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder)
    return {"name": "random", "class": "StableDiffusionPipeline", "source": {"path": str(folder)}, "sampling": SAMPLING}


@pytest.fixture(scope="session")
def video_entries(pipeline_entry, tmp_path_factory):
    """Registry entries of a TextToVideoSDPipeline that takes all but its random UNet3DConditionModel from the above."""
    from diffusers import UNet2DConditionModel

    from workflow_scripts.lib.zoo.text_to_video import build_unet

    folder = tmp_path_factory.mktemp("video")
    torch.manual_seed(1)
    unet = build_unet(UNet2DConditionModel.from_pretrained(pipeline_entry["source"]["path"], subfolder="unet"))
    for parameter in unet.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    unet.save_pretrained(folder)
    source = {"path": str(folder)}
    video = {
        "name": "video",
        "class": "TextToVideoSDPipeline",
        "base": "random",
        "source": source,
        "sampling": SAMPLING,
    }
    return {"random": pipeline_entry, "video": video}


@pytest.fixture
def video_examples(examples):
    """Twelve random pairs of clips of three frames under four prompts."""
    generator = torch.Generator().manual_seed(0)
    best, worst = (torch.randn(12, 4, 3, 8, 8, generator=generator) for _ in range(2))
    return Examples(best, worst, examples.prompt_index, examples.embeddings)


@pytest.fixture(scope="session")
def xl_entry(tmp_path_factory):
    """A registry entry of a StableDiffusionXLPipeline, whose VAE lies elsewhere: 32 pixels, 8x8x4 latents."""
    from workflow_scripts.lib.zoo.stable_diffusion_xl import build_pipeline_xl

    folder = tmp_path_factory.mktemp("pipeline_xl")
    torch.manual_seed(1)
    random_vae().save_pretrained(folder / "vae_of_another")
    pipeline = build_pipeline_xl(None, train_tokenizer(folder / "words", vocab_size=600), (16, 16), 4)
    pipeline.register_to_config(force_zeros_for_empty_prompt=True)  # as SDXL
    pipeline.save_pretrained(folder / "xl")
    return {
        "name": "random_xl",
        "class": "StableDiffusionXLPipeline",
        "source": {"path": str(folder / "xl")},
        "vae": {"source": {"path": str(folder / "vae_of_another")}},
        "sampling": {"scheduler": "EulerDiscreteScheduler"},
    }


@pytest.fixture(scope="session")
def sd3_entry(tmp_path_factory):
    """A registry entry of a StableDiffusion3Pipeline without T5: 32 pixels, 8x8x4 latents, a VAE with a shift."""
    from workflow_scripts.lib.zoo.stable_diffusion_3 import build_pipeline_3

    folder = tmp_path_factory.mktemp("pipeline_3")
    torch.manual_seed(2)
    pipeline = build_pipeline_3(
        random_vae(shift_factor=0.0609), train_tokenizer(folder / "words", vocab_size=600), 2, 24, 4
    )
    with torch.no_grad():  # a new transformer has gates of zero and heeds nothing
        for parameter in pipeline.transformer.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    pipeline.save_pretrained(folder)
    return {
        "name": "random_3",
        "class": "StableDiffusion3Pipeline",
        "source": {"path": str(folder)},
        "sampling": {"scheduler": "FlowMatchEulerDiscreteScheduler", "max_sequence_length": 0},
    }


@pytest.fixture
def sd3_examples(examples):
    """The same for SD3."""
    generator = torch.Generator().manual_seed(1)
    examples.embeddings = {
        "prompt_embeds": torch.randn(5, 24, 96, generator=generator),
        "pooled_prompt_embeds": torch.randn(5, 96, generator=generator),
    }
    return examples


def random_vae(**config):
    """An AutoencoderKL of three levels."""
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        **config,
        block_out_channels=(8, 8, 8),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        norm_num_groups=4,
        latent_channels=4,
    ).eval()


@pytest.fixture
def xl_examples(examples):
    """The same for SDXL."""
    generator = torch.Generator().manual_seed(1)
    time_ids = torch.tensor([[32.0, 32.0, 0.0, 0.0, 32.0, 32.0]]).repeat(5, 1)
    examples.embeddings |= {"pooled_prompt_embeds": torch.randn(5, 64, generator=generator), "time_ids": time_ids}
    return examples


@pytest.fixture
def examples():
    """Twelve random pairs under four prompts."""
    generator = torch.Generator().manual_seed(0)
    best, worst = (torch.randn(12, 4, 8, 8, generator=generator) for _ in range(2))
    embeddings = {"prompt_embeds": torch.randn(5, 24, 96, generator=generator)}
    return Examples(best, worst, 1 + torch.arange(12) % 4, embeddings)
