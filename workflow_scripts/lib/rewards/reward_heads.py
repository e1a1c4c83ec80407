"""Reward heads on frozen features and the file that holds trained ones.

The Reward Prediction Layer is GAN-RM's (arXiv 2506.13846, Tab. 6); a linear probe and a centroid are what it is
compared with. All map features (N, 2d) to two outputs (N, 2), know their `width` 2d and call their last layer `out`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import UserError
from ..files import atomic_write


class RewardPredictionLayer(nn.Module):
    """Rows 5-13 of Tab. 6: 2d -> 3d -> 2d (+ residual) -> 2, each Linear followed by ReLU, then BatchNorm.

    `width` is 2d, the length of [CLS ‖ mean token] (row 4): 1536 for CLIP ViT-B/32, which makes 7,092,482 parameters.
    """

    kind = "rpl"

    def __init__(self, width: int = 1536, dropout: float = 0.2) -> None:
        super().__init__()
        if width % 2:
            raise UserError(f"the reward head needs an even feature width (2d -> 3d -> 2d), not {width}")
        hidden = width // 2 * 3
        self.width = width
        self.expand = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.BatchNorm1d(hidden), nn.Dropout(dropout))
        self.contract = nn.Sequential(nn.Linear(hidden, width), nn.ReLU(), nn.BatchNorm1d(width))
        self.out = nn.Linear(width, 2)

    def forward(self, features: Tensor) -> Tensor:
        """Features (N, 2d), float32 -> two outputs per image (N, 2): class 0 generated, class 1 target."""
        return self.out(features + self.contract(self.expand(features)))


class LinearProbe(nn.Module):
    """One linear layer, 2d -> 2, behind the same dropout."""

    kind = "linear"

    def __init__(self, width: int, dropout: float = 0.2) -> None:
        super().__init__()
        self.width = width
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(width, 2)

    def forward(self, features: Tensor) -> Tensor:
        """Features (N, 2d), float32 -> two outputs per image (N, 2), as the RPL's."""
        return self.out(self.dropout(features))


class Centroid(nn.Module):
    """Cosine with the centroid of the target images' features; nothing is trained and no generated image is seen."""

    kind = "centroid"

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.out = nn.Linear(width, 2, bias=False)

    @classmethod
    def of(cls, targets: Tensor) -> Centroid:
        """The centroid of features (N, 2d): the mean of their unit vectors, scaled to unit length."""
        centroid = cls(targets.shape[1])
        direction = F.normalize(F.normalize(targets.float(), dim=1).mean(dim=0), dim=0)
        centroid.out.weight.data = torch.stack([-direction, direction])
        return centroid.eval().requires_grad_(False)

    def forward(self, features: Tensor) -> Tensor:
        """Features (N, 2d) -> (-cosine, cosine) (N, 2)."""
        return self.out(F.normalize(features, dim=1))


Head = RewardPredictionLayer | LinearProbe | Centroid
HEADS = {head.kind: head for head in (RewardPredictionLayer, LinearProbe, Centroid)}


def reward_logit(outputs: Tensor, loss: str = "bce") -> Tensor:
    """Logit (N,) of the reward σ(logit) from the outputs (N, 2): class 1, or l1 - l0 under the softmax loss.

    The paper has two outputs but one confidence ŷ (Sec. 3.2, 3.3); see decision 10 of the paper notes.
    """
    return outputs[:, 1] if loss == "bce" else outputs[:, 1] - outputs[:, 0]


def rpl_loss(outputs: Tensor, y: Tensor, loss: str = "bce") -> Tensor:
    """Mean cross-entropy of outputs (N, 2) with the soft target (1 - y, y), y (N,) in [0, 1] (Sec. 3.2)."""
    target = torch.stack([1 - y, y], dim=1)
    if loss == "bce":
        return F.binary_cross_entropy_with_logits(outputs, target)
    return F.cross_entropy(outputs, target)


@dataclass(frozen=True)
class RewardModel:
    """Trained heads (one, or one per checkpoint for `average` and `voting`) and what they were trained on."""

    heads: Sequence[Head]
    variant: str
    loss: str
    encoder: str = ""
    fingerprint: str = ""

    @property
    def width(self) -> int:
        """Feature width 2d."""
        return self.heads[0].width


def save_reward_model(path: str | Path, model: RewardModel) -> None:
    """Write all heads to one safetensors file (`head{i}.` before each name), atomically."""
    from safetensors.torch import save_file

    tensors = {
        f"head{i}.{name}": value.detach().cpu().contiguous()
        for i, head in enumerate(model.heads)
        for name, value in head.state_dict().items()
    }
    about = {name: getattr(model, name) for name in ("variant", "loss", "encoder", "fingerprint")}
    about |= {"kind": model.heads[0].kind, "width": str(model.width), "heads": str(len(model.heads))}
    with atomic_write(path) as temporary:
        save_file(tensors, temporary, metadata=about)


def load_reward_model(path: str | Path) -> RewardModel:
    """Read a file of `save_reward_model`; heads are in eval mode. UserError for a file that is not one."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            about = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        build, width = HEADS[about["kind"]], int(about["width"])
        heads = [_loaded(build(width), tensors, f"head{i}.") for i in range(int(about["heads"]))]
        return RewardModel(heads, **{name: about[name] for name in ("variant", "loss", "encoder", "fingerprint")})
    except (OSError, SafetensorError, KeyError, RuntimeError) as error:
        cause = json.dumps(str(error).splitlines()[0])
        raise UserError(f"{path} is not a whole reward model ({cause}); remake it with train_reward") from error


def _loaded(head: Head, tensors: dict[str, Tensor], prefix: str) -> Head:
    head.load_state_dict({k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)})
    return head.eval().requires_grad_(False)
