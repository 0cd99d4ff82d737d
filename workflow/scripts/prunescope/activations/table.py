"""Table of views."""

from prunescope.kinds import Kind

VIEWS = {
    "channels": Kind(
        "activations.views.maps:Channels",
        "Sampled positions of (n, c, h, w) are rows, (n·s) × c",
        facts={"aligned": False},
    ),
    "flatten": Kind(
        "activations.views.maps:Flatten",
        "Images are rows, n × chw or n × td; the rotation U·S is stored if that has more columns than rows",
        facts={"aligned": True},
    ),
    "pooled": Kind(
        "activations.views.maps:Pooled",
        "Images are rows, n × c or n × d: means over positions or tokens",
        facts={"aligned": True},
    ),
    "tokens": Kind(
        "activations.views.maps:Tokens",
        "Sampled tokens of (n, t, d) are rows, (n·s) × d; `activations.token` names a single one",
        facts={"aligned": False},
    ),
}
