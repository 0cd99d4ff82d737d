# Value of `network.weights` for the weights that torchvision or timm provides.
DEFAULT = "DEFAULT"
