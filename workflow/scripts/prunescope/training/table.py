"""Tables of optimisers and learning-rate schedules."""

from prunescope.kinds import Kind

BETAS = {
    "description": "Decay rates of the two moment estimates.",
    "type": "array",
    "items": {"type": "number", "minimum": 0, "exclusiveMaximum": 1},
    "minItems": 2,
    "maxItems": 2,
    "default": [0.9, 0.999],
}
OPTIMIZERS = {
    "adam": Kind(
        "training.optimizers.adam:Adam",
        "Adam",
        reference="D. Kingma, J. Ba: Adam. ICLR 2015.",
        settings={
            "betas": BETAS,
            "weight_decay": {"description": "L2 penalty.", "type": "number", "minimum": 0, "default": 0.0},
        },
    ),
    "adamw": Kind(
        "training.optimizers.adam:AdamW",
        "Adam with decoupled weight decay",
        reference="I. Loshchilov, F. Hutter: Decoupled Weight Decay Regularization. ICLR 2019.",
        settings={
            "betas": BETAS,
            "weight_decay": {
                "description": "Decoupled weight decay.",
                "type": "number",
                "minimum": 0,
                "default": 0.0,
            },
        },
    ),
    "sgd": Kind(
        "training.optimizers.sgd:SGD",
        "Stochastic gradient descent",
        settings={
            "momentum": {
                "description": "Momentum.",
                "type": "number",
                "minimum": 0,
                "exclusiveMaximum": 1,
                "default": 0.0,
            },
            "nesterov": {"description": "Nesterov momentum.", "type": "boolean", "default": False},
            "weight_decay": {"description": "L2 penalty.", "type": "number", "minimum": 0, "default": 0.0},
        },
    ),
}

SCHEDULES = {
    "constant": Kind(
        "training.schedules.shapes:constant",
        "The base learning rate throughout",
    ),
    "cosine": Kind(
        "training.schedules.shapes:cosine",
        "Half a cosine from 1 to `final`, without restarts",
        reference="I. Loshchilov, F. Hutter: SGDR. ICLR 2017.",
        settings={
            "final": {
                "description": "Factor at the end.",
                "type": "number",
                "minimum": 0,
                "maximum": 1,
                "default": 0.0,
            }
        },
    ),
    "linear": Kind(
        "training.schedules.shapes:linear",
        "Straight lines between points, constant outside",
        settings={
            "points": {
                "description": "Pairs of epoch and factor, joined by lines, e.g. [[0, 0], [5, 1], [24, 0]].",
                "type": "array",
                "items": {
                    "type": "array",
                    "items": {"type": "number", "minimum": 0},
                    "minItems": 2,
                    "maxItems": 2,
                },
                "minItems": 2,
                "epochs": "up to the end",
            }
        },
    ),
    "steps": Kind(
        "training.schedules.shapes:steps",
        "Multiplied by `gamma` at each milestone",
        settings={
            "milestones": {
                "description": "Epochs after which the factor is multiplied by `gamma`.",
                "type": "array",
                "items": {"type": "number", "exclusiveMinimum": 0},
                "minItems": 1,
                "epochs": "before the end",
            },
            "gamma": {
                "description": "Multiplier at each milestone.",
                "type": "number",
                "exclusiveMinimum": 0,
                "exclusiveMaximum": 1,
                "default": 0.1,
            },
        },
    ),
}
