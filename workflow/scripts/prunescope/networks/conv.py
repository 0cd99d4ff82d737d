"""Conv-2, Conv-4 and Conv-6: pairs of 3×3 convolutions and three linear layers."""

from collections.abc import Sequence

from torch import nn

from prunescope.networks.layers import Shape, convolutions, glorot_normal, sequence


def conv2(shape: Shape, classes: int) -> nn.Module:
    """Conv-2 of the lottery ticket hypothesis (Frankle & Carbin 2019)."""
    return _conv_pairs(shape, classes, (64,))


def conv4(shape: Shape, classes: int) -> nn.Module:
    """Conv-4 of the lottery ticket hypothesis (Frankle & Carbin 2019)."""
    return _conv_pairs(shape, classes, (64, 128))


def conv6(shape: Shape, classes: int) -> nn.Module:
    """Conv-6 of the lottery ticket hypothesis (Frankle & Carbin 2019)."""
    return _conv_pairs(shape, classes, (64, 128, 256))


def _conv_pairs(shape: Shape, classes: int, widths: Sequence[int]) -> nn.Module:
    channels, height, width = shape
    plan = [step for channels_out in widths for step in (channels_out, channels_out, "M")]
    last = 2 * len(widths)
    inputs = widths[-1] * (height >> len(widths)) * (width >> len(widths))
    return glorot_normal(
        sequence(
            **convolutions(channels, plan, norm=False),
            **{
                "flatten": nn.Flatten(),
                f"linear{last + 1}": nn.Linear(inputs, 256),
                f"relu{last + 1}": nn.ReLU(),
                f"linear{last + 2}": nn.Linear(256, 256),
                f"relu{last + 2}": nn.ReLU(),
                "output": nn.Linear(256, classes),
            },
        )
    )
