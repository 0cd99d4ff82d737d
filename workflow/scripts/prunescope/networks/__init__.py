# Value of `network.weights` for the weights that torchvision or timm provides.
DEFAULT = "DEFAULT"
# Modules that are pruned by default; it is enough that one of these patterns matches.
PRUNABLE = ["Conv2d", "Linear"]
