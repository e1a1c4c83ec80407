"""Which models the tiny zoo has, and how they are trained; apart from their training, so that rules know it too."""

ZOO = {
    "tokenizer": ([], 0, 0),
    "vae": ([], 8000, 10),
    "sd15": (["vae", "tokenizer"], 8000, 16),
    "sdxl": (["vae", "tokenizer"], 14000, 16),
    "sd3": (["vae", "tokenizer"], 2600, 32),
    "clip": (["tokenizer"], 900, 128),
    "pickscore": (["clip"], 400, 64),
    "hps": (["clip"], 400, 64),
    "imagereward": (["tokenizer"], 3500, 32),
    "extractor": ([], 700, 64),
    "text_to_video": (["sd15"], 3000, 10),
}
"""By model: what it starts from, optimiser steps and images (or comparisons) per step."""

SHIPPED = tuple(model for model in ZOO if model not in ("tokenizer", "vae"))
"""The pipelines hold copies of the other two."""
