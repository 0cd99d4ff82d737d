"""Sizes of torchvision's data sets, which are known without downloading them."""

# Channels, height, width (None: images differ in size); classes; training and test images. Without test
# images, torchvision does not split the data set.
SIZES = {
    "Caltech101": ((3, None, None), 101, 8_677, 0),
    "Caltech256": ((3, None, None), 257, 30_607, 0),
    "CIFAR10": ((3, 32, 32), 10, 50_000, 10_000),
    "CIFAR100": ((3, 32, 32), 100, 50_000, 10_000),
    "Country211": ((3, None, None), 211, 31_650, 21_100),
    "DTD": ((3, None, None), 47, 1_880, 1_880),
    "EuroSAT": ((3, 64, 64), 10, 27_000, 0),
    "FashionMNIST": ((1, 28, 28), 10, 60_000, 10_000),
    "FGVCAircraft": ((3, None, None), 100, 6_667, 3_333),
    "Flowers102": ((3, None, None), 102, 1_020, 6_149),
    "Food101": ((3, None, None), 101, 75_750, 25_250),
    "GTSRB": ((3, None, None), 43, 26_640, 12_630),
    "ImageNet": ((3, None, None), 1_000, 1_281_167, 50_000),
    "Imagenette": ((3, None, None), 10, 9_469, 3_925),
    "KMNIST": ((1, 28, 28), 10, 60_000, 10_000),
    "MNIST": ((1, 28, 28), 10, 60_000, 10_000),
    "OxfordIIITPet": ((3, None, None), 37, 3_680, 3_669),
    "RenderedSST2": ((3, None, None), 2, 6_920, 1_821),
    "SEMEION": ((1, 16, 16), 10, 1_593, 0),
    "StanfordCars": ((3, None, None), 196, 8_144, 8_041),
    "STL10": ((3, 96, 96), 10, 5_000, 8_000),
    "SUN397": ((3, None, None), 397, 108_754, 0),
    "SVHN": ((3, 32, 32), 10, 73_257, 26_032),
    "USPS": ((1, 16, 16), 10, 7_291, 2_007),
}
