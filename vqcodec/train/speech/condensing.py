"""What a voice sounds like, told by fewer moments."""

import numpy as np
import torch

from vqcodec.voice.timbre import Timbre

MOMENTS = 1024
ROUNDS = 8  # of k-means
AT_ONCE = 4096  # frames that are compared with all centres at a time


def condensed(timbre: Timbre, moments: int = MOMENTS) -> Timbre:
    """Return the means of similar moments, by k-means, at most `moments`."""
    features = torch.from_numpy(timbre.features)
    cepstra = torch.from_numpy(timbre.cepstra)
    chosen = np.random.default_rng(0).permutation(len(features))[:moments]
    centres = features[chosen]
    for _ in range(ROUNDS):
        means, used = _means(features, _nearest(features, centres), len(centres))
        centres = torch.where(used[:, None], means, centres)
    means, used = _means(cepstra, _nearest(features, centres), len(centres))
    return Timbre(centres[used].numpy(), means[used].numpy())


def _nearest(features: torch.Tensor, centres: torch.Tensor) -> torch.Tensor:
    """Return the number of the centre that is nearest to each of some features, (N,)."""
    powers = centres.square().sum(1)
    parts = (features[n : n + AT_ONCE] for n in range(0, len(features), AT_ONCE))
    return torch.cat([(powers - 2 * part @ centres.T).argmin(1) for part in parts])


def _means(
    values: torch.Tensor, groups: torch.Tensor, number: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the mean of the values, (N, D), of each group, and which groups have any."""
    counts = torch.bincount(groups, minlength=number)
    totals = torch.zeros(number, values.shape[1]).index_add_(0, groups, values)
    return totals / counts.clamp(min=1)[:, None], counts > 0
