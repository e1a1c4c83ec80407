"""From per-image scores and features to the metrics of one policy under one selection, with their bootstrap."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..errors import UserError
from . import bootstrap, fid, vbench
from .inputs import ComparedFeatures

if TYPE_CHECKING:
    import pandas as pd


class Aggregator:
    """Metrics of selected images: `keys` (N,) and their `prompt_ids` (N,), the same number of images for every prompt.

    `metrics` then holds, per metric, its value, the bounds of its 95 % interval and n, the number of images (for a
    mean: of prompts that have a value). The bootstrap resamples prompts; `seed` fixes the draws, the same for every
    policy with as many prompts.
    """

    def __init__(
        self, keys: list[str], prompt_ids: np.ndarray, *, num_resamples: int, seed: int, minimum_images: int = 2
    ):
        self.keys, self.prompt_ids, self.minimum_images = keys, np.asarray(prompt_ids), minimum_images
        prompts, self._cluster = np.unique(self.prompt_ids, return_inverse=True)
        self.num_prompts = len(prompts)
        self._counts = bootstrap.resample_counts(bootstrap.resample_indices(self.num_prompts, num_resamples, seed))
        self._seed = seed
        self.metrics: dict[str, dict[str, float]] = {}
        self._columns: dict[str, np.ndarray] = {}

    def add_mean(self, name: str, *scores: pd.Series) -> None:
        """Mean over prompts of scores by key; prompts for which the metric is not defined (NaN) are left out.

        Of several scores, each of which may be defined for other prompts, the mean of their means.
        """
        values = [self._per_prompt(name, one) for one in scores]
        defined = [~np.isnan(one) for one in values]
        value = np.mean([one[has].mean() for one, has in zip(values, defined, strict=True)])
        columns = np.nanmean([bootstrap.mean_bootstrap(one, self._counts) for one in values], axis=0)
        self._add(name, float(value), columns, int(np.any(defined, axis=0).sum()))

    def add_frechet(self, name: str, images: ComparedFeatures) -> None:
        """Fréchet distance to the reference images, its bootstrap centred on the point estimate."""
        features = self._features(name, images)
        sample = fid.fit_gaussian(features, self.minimum_images, f"'{name}'")
        reference = fid.fit_gaussian(images.reference, self.minimum_images, f"reference of '{name}'")
        value = fid.frechet_distance(sample, reference)
        columns = fid.frechet_bootstrap(features, reference, self._counts[:, self._cluster])
        self._add(name, value, bootstrap.centred(columns, value), len(features))

    def add_kernel(self, name: str, images: ComparedFeatures) -> None:
        """Kernel distance to the reference images, its bootstrap centred on the point estimate."""
        features = self._features(name, images)
        for rows, what in ((features, f"'{name}'"), (images.reference, f"reference of '{name}'")):
            fid.require_images(len(rows), self.minimum_images, what)
        value = fid.kernel_distance(features, images.reference, seed=self._seed)
        columns = fid.kernel_bootstrap(features, images.reference, self._counts[:, self._cluster])
        self._add(name, value, bootstrap.centred(columns, value), len(features))

    def add_vbench(self, name: str, clips: pd.DataFrame) -> None:
        """VBench's total of the scores of its clips, which are of prompts of its own; its bootstrap resamples those."""
        value = vbench.summarise(vbench.mean_scores(clips)).total
        columns = vbench.total_bootstrap(clips, len(self._counts), self._seed)
        self._add(name, value, columns, clips["prompt"].nunique())

    def columns(self) -> pd.DataFrame:
        """The bootstrap: a row per resample, a column per metric."""
        import pandas as pd

        return pd.DataFrame(self._columns)

    def _per_prompt(self, name: str, scores: pd.Series) -> np.ndarray:
        """Means (P,) of each prompt's images; NaN where the metric is not defined, which it is for some."""
        missing = [key for key in self.keys if key not in scores.index]
        self._require_all(name, missing, "score_images")
        _, values = bootstrap.per_prompt(self.prompt_ids, scores.loc[self.keys].to_numpy())
        if np.isnan(values).all():
            column = f" by '{scores.name}'" * (scores.name != name)
            raise UserError(
                f"metric '{name}' is defined for none of the {len(values)} prompts{column}; leave it out or check its "
                "scorer"
            )
        return values

    def _features(self, name: str, images: ComparedFeatures) -> np.ndarray:
        if len(images.keys) != len(images.features):
            raise UserError(
                f"'{name}': {len(images.features)} feature vectors for {len(images.keys)} images; "
                f"remake them with encode_images"
            )
        row_of = {key: row for row, key in enumerate(images.keys)}
        self._require_all(name, [key for key in self.keys if key not in row_of], "encode_images")
        return images.features[[row_of[key] for key in self.keys]]

    def _require_all(self, name: str, missing: list[str], made_by: str) -> None:
        if missing:
            raise UserError(
                f"metric '{name}' lacks {len(missing)} of {len(self.keys)} selected images, first '{missing[0]}': "
                f"a part is missing from the command, or {made_by} has to be run again"
            )

    def _add(self, name: str, value: float, columns: np.ndarray, count: int) -> None:
        if name in self.metrics:
            raise UserError(f"metric '{name}' is given twice; each metric needs its own name")
        self.metrics[name] = bootstrap.interval(value, columns)._asdict() | {"n": count}
        self._columns[name] = columns
