"""Steps of a sequence as they might also have been, for training alone: noise on their values, and a stretch that is missing.

Um et al. 2017 (jitter of sensors' values); DeVries and Taylor 2017 (cut-out), along time as Park et al. 2019 ("SpecAugment") have
it. What is drawn follows from PyTorch's random state, which the training loop sets by seed and epoch.

n = rows, s = steps, c = channels.
"""

import torch
from torch import Tensor


def augment_steps(steps: Tensor, strength: float) -> Tensor:
    """Other steps in place of these (n, s, c, 2), a value's distance from its mean and whether it is missing.

    Distances get noise of `strength` standard deviations, and of each row a stretch is missing, of up to that share of the steps.
    """
    n, s = steps.shape[:2]
    length = (torch.rand(n, 1, device=steps.device) * (strength * s + 1)).floor()
    begin = (torch.rand(n, 1, device=steps.device) * (s - length + 1)).floor()
    place = torch.arange(s, device=steps.device)
    # (n, s)
    is_cut = (place >= begin) & (place < begin + length)
    is_missing = torch.maximum(steps[..., 1], is_cut[:, :, None].to(steps.dtype))
    distance = steps[..., 0] + strength * torch.randn_like(steps[..., 0])
    return torch.stack([torch.where(is_missing > 0, 0.0, distance), is_missing], dim=3)
