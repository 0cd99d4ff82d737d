# In `network.weights`: what torchvision or timm offers for a network.
DEFAULT = "DEFAULT"
