"""Batched augmentation against one image at a time in numpy and scipy."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from prunescope.data import augmentation
from prunescope.settings.training import Augmentation

N, C, H, W = 64, 3, 9, 12
COLOUR = torch.tensor([7, 100, 201], dtype=torch.uint8)


@pytest.fixture
def images():
    pixels = np.random.default_rng(0).integers(0, 256, (N, C, H, W), dtype=np.uint8)
    return torch.from_numpy(pixels).contiguous(memory_format=torch.channels_last)


def changed(images, seed=0, **options):
    how = Augmentation(**options)
    drawn = augmentation.draw(how, len(images), images.shape[2:], torch.Generator().manual_seed(seed))
    return augmentation.apply(how, images, drawn, COLOUR), drawn


def test_no_augmentation_changes_nothing(images):
    found, drawn = changed(images)
    assert found is images
    assert drawn == {}


def test_crop_and_flip_are_windows_of_the_padded_image(images):
    found, drawn = changed(images, crop=2, flip=True)
    padded = np.pad(images.numpy(), [(0, 0), (0, 0), (2, 2), (2, 2)])
    for index in range(N):
        top, left = drawn["crop"][index].tolist()
        window = padded[index, :, top : top + H, left : left + W]
        expected = window[:, :, ::-1] if drawn["flip"][index] else window
        np.testing.assert_array_equal(found[index].numpy(), expected)
    assert set(drawn["crop"].flatten().tolist()) == {0, 1, 2, 3, 4}, "every shift occurs"
    assert 0.3 < drawn["flip"].float().mean() < 0.7
    assert found.dtype == torch.uint8
    assert found.is_contiguous(memory_format=torch.channels_last)


def test_cutout_is_one_whole_square_of_the_mean_colour(images):
    images = torch.where(images == COLOUR.view(1, 3, 1, 1), images + 1, images)
    found, drawn = changed(images, cutout=4)
    for index in range(N):
        top, left = drawn["cutout"][index].tolist()
        expected = images[index].clone()
        expected[:, top : top + 4, left : left + 4] = COLOUR.view(3, 1, 1)
        assert torch.equal(found[index], expected)
        assert int((found[index] != images[index]).all(0).sum()) == 16
    corners = {tuple(position) for position in drawn["cutout"].tolist()}
    assert len(corners) > 20


@pytest.mark.parametrize(
    "options",
    [
        {"rotate": 40.0},
        {"translate": 0.2},
        {"scale": [0.7, 1.5]},
        {"rotate": 20.0, "translate": 0.1, "scale": [0.8, 1.2]},
    ],
)
def test_affine_is_a_similarity_resampled_bilinearly(images, options):
    found, drawn = changed(images, **options)
    centre = np.array([(H - 1) / 2, (W - 1) / 2])
    for index in range(0, N, 8):
        (xx, xy, shift_x), (yx, yy, shift_y) = drawn["affine"][index].double().numpy()
        # From coordinates in [-1, 1] (x first) to pixels (rows first).
        matrix = np.array([[yy, yx * H / W], [xy * W / H, xx]])
        scale = 1 / np.sqrt(np.linalg.det(matrix))
        np.testing.assert_allclose(matrix @ matrix.T * scale**2, np.eye(2), atol=1e-6)
        low, high = options.get("scale", [1, 1])
        assert low - 1e-6 <= scale <= high + 1e-6
        assert abs(np.rad2deg(np.arctan2(matrix[0, 1], matrix[0, 0]))) <= options.get("rotate", 0) + 1e-4
        shift = np.array([shift_y * H / 2, shift_x * W / 2])
        assert (abs(shift) <= np.array([H, W]) * options.get("translate", 0) + 1e-5).all()
        grid = np.indices((H, W)).reshape(2, -1) - centre[:, None]
        source = matrix @ grid + (centre + shift)[:, None]
        for channel in range(C):
            expected = ndimage.map_coordinates(
                images[index, channel].double().numpy(), source, order=1, mode="grid-constant", cval=0
            )
            np.testing.assert_allclose(found[index, channel].numpy().ravel(), expected, atol=1e-2)


def test_draws_follow_the_generator_alone(images):
    options = {"crop": 2, "flip": True, "cutout": 3, "rotate": 10.0}
    first, again, other = (changed(images, seed, **options)[0] for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
