"""Reading a drawn word with a real OCR model (rapidocr's recogniser; its weights come inside the package)."""

from __future__ import annotations

from functools import cache

import numpy as np


@cache
def _recogniser():
    import logging

    from rapidocr import RapidOCR

    logging.getLogger("RapidOCR").setLevel(logging.ERROR)
    return RapidOCR()


def read_word(image: np.ndarray, enlarge: int = 4) -> tuple[str, float]:
    """Text and confidence read from an image (H, W, 3) uint8 as one line; empty text where nothing is read."""
    large = image.repeat(enlarge, axis=0).repeat(enlarge, axis=1)
    result = _recogniser()(large, use_det=False, use_cls=False, use_rec=True)
    if not result.txts:
        return "", 0.0
    return result.txts[0], float(result.scores[0])
