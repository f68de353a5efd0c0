"""What an ablation switches off of a network for rows: constructor arguments by the part's name."""

from collections.abc import Mapping

from epic22.core.models.base import Hyperparameters

MLP_PARTS: Mapping[str, Hyperparameters] = {
    "numbers by pieces": {"n_bins": 1},
    "ensemble of members": {"members": 1},
    "second hidden layer": {"depth": 1},
    "dropout": {"dropout": 0.0},
    "weight decay": {"weight_decay": 0.0},
}
