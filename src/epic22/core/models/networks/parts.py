"""What an ablation switches off of a network: constructor arguments by the part's name."""

from collections.abc import Mapping

from epic22.core.models.base import Hyperparameters

MLP_PARTS: Mapping[str, Hyperparameters] = {
    "numbers by pieces": {"n_bins": 1},
    "ensemble of members": {"members": 1},
    "second hidden layer": {"depth": 1},
    "dropout": {"dropout": 0.0},
    "weight decay": {"weight_decay": 0.0},
}

SEQUENCE_PARTS: Mapping[str, Hyperparameters] = {
    "linear skip": {"skip": False},
    "ensemble of members": {"members": 1},
    "second layer": {"depth": 1},
    "dropout": {"dropout": 0.0},
    "weight decay": {"weight_decay": 0.0},
}
TRANSFORMER_PARTS: Mapping[str, Hyperparameters] = {"patches": {"patch": 1}, "several heads": {"heads": 1}, **SEQUENCE_PARTS}
CONVOLUTION_PARTS: Mapping[str, Hyperparameters] = {
    "neighbouring steps": {"kernel": 1},
    **{name: params for name, params in SEQUENCE_PARTS.items() if name != "second layer"},
    "layers after the first": {"depth": 1},
}
