"""A small CNN for 32-pixel images: 64 pooled features (the tiny Fréchet distance) and classification heads."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn

from ..files import read_json, write_json


class TinyFeatureExtractor(nn.Module):
    """Four convolutions, mean over space, one linear head per attribute.

    `config`: image_size (32), width (64 features) and heads, a dict attribute -> number of classes.
    """

    def __init__(self, config: dict) -> None:
        super().__init__()
        self.config = {"image_size": 32, "width": 64, "heads": {}} | config
        width = self.config["width"]
        sizes = [(3, width // 2, 1), (width // 2, width, 2), (width, width, 2), (width, width, 1)]
        self.body = nn.Sequential(*(_block(*size) for size in sizes))
        self.heads = nn.ModuleDict({name: nn.Linear(width, n) for name, n in self.config["heads"].items()})

    def forward(self, pixels: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Pixels (B, 3, 32, 32) in [-1, 1] -> features (B, width) and logits of each head (B, classes)."""
        features = self.body(pixels).mean(dim=(2, 3))
        return features, {name: head(features) for name, head in self.heads.items()}

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> TinyFeatureExtractor:
        """Load `config.json` and `model.safetensors` of a folder, in eval mode."""
        from safetensors.torch import load_file

        model = cls(read_json(Path(folder) / "config.json"))
        model.load_state_dict(load_file(Path(folder) / "model.safetensors"))
        return model.eval()

    def save_pretrained(self, folder: str | Path) -> None:
        """Write `config.json` and `model.safetensors`."""
        from safetensors.torch import save_file

        Path(folder).mkdir(parents=True, exist_ok=True)
        write_json(Path(folder) / "config.json", self.config)
        save_file(self.state_dict(), Path(folder) / "model.safetensors")


def _block(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU())
