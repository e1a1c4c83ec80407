"""Human-preference scores as formulas of what their encoders return; arrays and tensors alike."""

import math

IMAGE_REWARD_MEAN = 0.16717362830052426
IMAGE_REWARD_STD = 1.0333394966054072


def pick_score(cosine, logit_scale: float):
    """PickScore of cosines (N,): `logit_scale.exp() * (text_embs @ image_embs.T)` (card of yuvalkirstain/PickScore_v1).

    `logit_scale` is the model's raw (logarithmic) parameter, about 4.6; scores of real models lie near 19-22.
    """
    return math.exp(float(logit_scale)) * cosine


def hps_score(cosine):
    """HPSv2 of cosines (N,): the raw cosine of the fine-tuned ViT-H-14, no scale (hpsv2 1.2.0, `hpsv2.score`)."""
    return cosine


def image_reward(raw):
    """ImageReward of head outputs (N,): `(rewards - self.mean) / self.std`, with both numbers of image-reward 1.5."""
    return (raw - IMAGE_REWARD_MEAN) / IMAGE_REWARD_STD
