"""VideoCrafter2 (arXiv 2401.09047) on diffusers' stock classes: its UNet, and its rescaled noise schedule.

Its UNet is diffusers' UNet3DConditionModel with one addition, an embedding of the frame rate added to that of the
timestep. At one frame rate that is a constant vector, which the last bias of the timestep embedding can hold. So the
stock class computes exactly the same.
"""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import DDIMScheduler
from torch import Tensor

from ..errors import UserError
from ..files import read_json

UNET_CLASS = "UNet3DVideoCrafterConditionModel"
"""What the community's conversion (adamdad/videocrafterv2_diffusers) calls the network in its config.json."""
SCALE_STEPS, LAST_SCALE = 400, 0.7  # of VideoCrafter's inference_t2v_512_v2.0.yaml: use_scale, scale_b; mid_step


class VideoCrafterDDIMScheduler(DDIMScheduler):
    """DDIM on x_t = sqrt(a_t) s_t x_0 + sqrt(1 - a_t) noise; s_t falls from 1 to 0.7 over the first 400 timesteps.

    As VideoCrafter2 was trained and samples; plain DDIM would leave its latents 0.7 times too small.
    """

    def step(self, model_output: Tensor, timestep: int, sample: Tensor, *args, return_dict: bool = True, **kwargs):
        """One step of DDIM, the signal rescaled from s_t to that of the timestep before."""
        previous = timestep - self.config.num_train_timesteps // self.num_inference_steps
        output = super().step(model_output, timestep, sample, *args, return_dict=True, **kwargs)
        alpha = self.alphas_cumprod[previous] if previous >= 0 else self.final_alpha_cumprod
        change = self._scale(max(int(previous), 0)) / self._scale(int(timestep)) - 1
        output.prev_sample = output.prev_sample + alpha**0.5 * change * output.pred_original_sample
        return output if return_dict else (output.prev_sample, output.pred_original_sample)

    def add_noise(self, original_samples: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """x_t of x_0 (B, …) at timesteps (B,)."""
        scales = torch.tensor([self._scale(int(t)) for t in timesteps], device=original_samples.device)
        scales = scales.to(original_samples.dtype).view(-1, *[1] * (original_samples.ndim - 1))
        return super().add_noise(scales * original_samples, noise, timesteps)

    @staticmethod
    def _scale(timestep: int) -> float:
        return 1 + (LAST_SCALE - 1) * min(timestep / (SCALE_STEPS - 1), 1)


def load_videocrafter_unet(folder: Path, fps: int | None, dtype: torch.dtype):
    """The converted network as a UNet3DConditionModel at one frame rate; UserError without one or for other weights."""
    from diffusers import UNet3DConditionModel
    from safetensors.torch import load_file

    if fps is None:
        raise UserError(f"{folder} is conditioned on the frame rate; give `fps` under the model's sampling")
    config, weights = read_json(folder / "config.json"), load_file(folder / "diffusion_pytorch_model.safetensors")
    if config.pop("fps_cond", False):
        weights = fold_fps(weights, fps)
    unet = UNet3DConditionModel.from_config({name: value for name, value in config.items() if name[0] != "_"})
    try:
        unet.load_state_dict(weights)
    except RuntimeError as error:
        raise UserError(f"{folder} does not hold VideoCrafter2's UNet: {error}") from error
    return unet.to(dtype).eval()


def fold_fps(weights: dict[str, Tensor], fps: int) -> dict[str, Tensor]:
    """Weights without the embedding of the frame rate: at `fps` it is part of the timestep embedding's last bias."""
    from diffusers.models.embeddings import get_timestep_embedding

    kept = {name: tensor for name, tensor in weights.items() if not name.startswith("fps_")}
    first, last = (
        (weights[f"fps_embedding.linear_{i}.weight"].float(), weights[f"fps_embedding.linear_{i}.bias"].float())
        for i in (1, 2)
    )
    sines = get_timestep_embedding(torch.tensor([fps]), first[0].shape[1], flip_sin_to_cos=True, downscale_freq_shift=0)
    hidden = torch.nn.functional.silu(torch.nn.functional.linear(sines, *first))
    bias = kept["time_embedding.linear_2.bias"]
    kept["time_embedding.linear_2.bias"] = bias + torch.nn.functional.linear(hidden, *last)[0].to(bias)
    return kept
