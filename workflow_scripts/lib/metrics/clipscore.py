"""CLIPScore (Hessel et al., arXiv 2104.08718) as a formula; the encoder is the caller's."""

PREFIX = "A photo depicts "
WEIGHT = 2.5


def caption(prompt: str) -> str:
    """The text to encode: "we prefix all captions with 'A photo depicts'" (Hessel et al., section 3)."""
    return PREFIX + prompt


def clip_score(cosine):
    """CLIPScore of cosines (N,), array or tensor: "CLIP-S(c, v) = w * max(cos(c, v), 0)", w = 2.5 (section 3)."""
    return WEIGHT * cosine.clip(min=0)
