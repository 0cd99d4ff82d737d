"""Table of views."""

from prunescope.kinds import Kind

VIEWS = {
    "channels": Kind(
        "activations.views.maps:Channels",
        "Sampled positions, pixels of (n, c, h, w) or tokens of (n, t, d), are rows: (n·s) × c or (n·s) × d",
    ),
    "flatten": Kind(
        "activations.views.maps:Flatten",
        "Images are rows, n × chw or n × td; the rotation U·S is stored if that has more columns than rows",
    ),
    "pooled": Kind(
        "activations.views.maps:Pooled",
        "Images are rows, n × c or n × d: means over positions",
    ),
    "tokens": Kind("activations.views.maps:Channels", "Another name of `channels`"),
}
