"""Which layers share a panel of small multiples."""

from dataclasses import dataclass

# More layers than this share panels by block.
PANELS = 12


@dataclass(frozen=True)
class Panel:
    """One of several small drawings: its title and its layers."""

    title: str
    members: tuple[str, ...]


def blocks(layers: list[str]) -> list[Panel]:
    """Group layers into panels: one per layer, or by module if there are more than `PANELS`.

    Layers of the same outer module (``layer1.0.relu`` and ``layer1.1.relu``) share a panel. If this leaves
    too many panels, or a single one, neighbouring layers share one.
    """
    if len(layers) <= PANELS:
        return [Panel(layer, (layer,)) for layer in layers]
    groups: dict[str, list[str]] = {}
    for layer in layers:
        groups.setdefault(layer.split(".")[0], []).append(layer)
    if not 1 < len(groups) <= PANELS:
        size = -(-len(layers) // PANELS)
        parts = [layers[start : start + size] for start in range(0, len(layers), size)]
        return [
            Panel(part[0] if len(part) == 1 else f"{part[0]} to {part[-1]}", tuple(part)) for part in parts
        ]
    return [Panel(name, tuple(members)) for name, members in groups.items()]
