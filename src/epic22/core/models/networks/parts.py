"""What an ablation switches off of a network: constructor arguments by the part's name."""

from collections.abc import Mapping

from epic22.core.models.base import Hyperparameters

TRAINING_PARTS: Mapping[str, Hyperparameters] = {
    "ensemble of members": {"members": 1},
    "dropout": {"dropout": 0.0},
    "weight decay": {"weight_decay": 0.0},
    "schedule": {"schedule": "constant", "warm_up_steps": 0},
    "steady rate after the warm-up": {"schedule": "cosine"},
}
"""What every network has. Without its schedule the learning rate is the same from the first step to the last; as it comes, the
rate stays after the warm-up, and off is: it falls along half a cosine."""
MLP_PARTS: Mapping[str, Hyperparameters] = {
    "numbers by pieces": {"n_bins": 1},
    "second hidden layer": {"depth": 1},
    **TRAINING_PARTS,
}
STEP_PARTS: Mapping[str, Hyperparameters] = {"linear skip": {"skip": False}, "steps without augmentation": {"augmentation": 0.1}}
"""What all have that read steps; these are learned as they are, and off is: with augmentation."""
SEQUENCE_PARTS: Mapping[str, Hyperparameters] = {**STEP_PARTS, "second layer": {"depth": 1}, **TRAINING_PARTS}
TRANSFORMER_PARTS: Mapping[str, Hyperparameters] = {"patches": {"patch": 1}, "several heads": {"heads": 1}, **SEQUENCE_PARTS}
CONVOLUTION_PARTS: Mapping[str, Hyperparameters] = {
    "neighbouring steps": {"kernel": 1},
    "layers after the first": {"depth": 1},
    **STEP_PARTS,
    **TRAINING_PARTS,
}
