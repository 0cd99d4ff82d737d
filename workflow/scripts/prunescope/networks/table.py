"""Table of networks."""

from prunescope.kinds import Kind

NETWORKS = {
    "conv2": Kind(
        "networks.vgg:conv2",
        "Conv-2 of the lottery ticket hypothesis (Frankle & Carbin 2019)",
        reference="J. Frankle, M. Carbin: The Lottery Ticket Hypothesis. ICLR 2019.",
    ),
    "conv4": Kind(
        "networks.vgg:conv4",
        "Conv-4 of the lottery ticket hypothesis (Frankle & Carbin 2019)",
        reference="J. Frankle, M. Carbin: The Lottery Ticket Hypothesis. ICLR 2019.",
    ),
    "conv6": Kind(
        "networks.vgg:conv6",
        "Conv-6 of the lottery ticket hypothesis (Frankle & Carbin 2019)",
        reference="J. Frankle, M. Carbin: The Lottery Ticket Hypothesis. ICLR 2019.",
    ),
    "lenet300": Kind(
        "networks.lenet:lenet300",
        "LeNet-300-100 of the lottery ticket hypothesis (Frankle & Carbin 2019)",
        reference="J. Frankle, M. Carbin: The Lottery Ticket Hypothesis. ICLR 2019.",
    ),
    "lenet5": Kind(
        "networks.lenet:lenet5",
        "LeNet-5 as Ansuini et al. (2020) used it on 28×28 images: ReLU, average pools, 256-120-84-10",
        reference="A. Ansuini, E. Medvet, F. A. Pellegrino, M. Zullich. ICPRAM 2020.",
    ),
    "lenet_small": Kind(
        "networks.lenet:lenet_small",
        "LeNet for 8×8 images: two 3×3 convolutions, two hidden linear layers",
    ),
    "resnet20": Kind(
        "networks.resnet:resnet20",
        "ResNet-20 for CIFAR-10 (He et al. 2016) with projection shortcuts, as in open_lth",
        reference="K. He, X. Zhang, S. Ren, J. Sun: Deep Residual Learning. CVPR 2016.",
    ),
    "resnet_cifar10_fast": Kind(
        "networks.resnet:resnet_cifar10_fast",
        "Network of the sequel to Ansuini et al. for 32×32 images, a fork of Page's cifar10-fast",
        reference="D. Page: How to Train Your ResNet. 2018.",
    ),
    "timm": Kind(
        "networks.timm:timm",
        "A classifier from timm, with random weights; its first layer fits the number of channels",
        prefix="timm/",
        names="networks.timm:names",
        functions={
            "pretrained": "networks.timm:pretrained",
            "preprocessing": "networks.timm:preprocessing",
        },
    ),
    "torchvision": Kind(
        "networks.torchvision:torchvision",
        "A classifier from torchvision.models, with random weights; its first convolution fits the images",
        prefix="torchvision/",
        names="networks.torchvision:names",
        functions={
            "pretrained": "networks.torchvision:pretrained",
            "preprocessing": "networks.torchvision:preprocessing",
        },
    ),
    "vgg16_bn": Kind(
        "networks.vgg:vgg16_bn",
        "VGG-16 with batch norm and one linear layer, as in open_lth for CIFAR-10",
        reference="K. Simonyan, A. Zisserman: Very Deep Convolutional Networks. ICLR 2015.",
    ),
    "vgg_svhn": Kind(
        "networks.vgg:vgg_svhn",
        "VGG-like network of Ansuini et al. (2020) for SVHN: 586,154 parameters on colour images",
        reference="A. Ansuini, E. Medvet, F. A. Pellegrino, M. Zullich. ICPRAM 2020.",
    ),
}
