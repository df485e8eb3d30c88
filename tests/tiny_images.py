"""A tiny set of images and networks of images, random, at a size that runs in milliseconds."""

import numpy as np

CLASSES = 3
MIXED = {
    "model_type": "image-network",
    "image": [6, 6, 2],
    "mean": 0.4,
    "deviation": 0.3,
    "steps": [
        {"kind": "convolution", "name": "first", "channels": 4, "kernel": 3, "padding": 1},
        {"kind": "batch_norm", "name": "norm", "epsilon": 1e-3},
        {"kind": "relu"},
        {"kind": "max_pooling", "size": 2},
        {
            "kind": "convolution",
            "name": "apart",
            "channels": 4,
            "kernel": 3,
            "padding": 1,
            "groups": 2,
        },
        {"kind": "residual", "of": 3},
        {"kind": "relu"},
        {"kind": "convolution", "name": "strided", "channels": 3, "kernel": 2, "stride": 1},
        {"kind": "average_pooling", "size": 2},
        {"kind": "dense", "name": "last", "outputs": CLASSES},
    ],
}
PERCEPTRON = {
    "model_type": "image-network",
    "image": [6, 6, 2],
    "steps": [
        {"kind": "dense", "name": "hidden", "outputs": 8},
        {"kind": "relu"},
        {"kind": "dense", "name": "last", "outputs": CLASSES},
    ],
}


def mixed_tensors(seed=0):
    """Random tensors of MIXED, under PyTorch's names."""
    rng = np.random.default_rng(seed)
    shapes = {
        "first.weight": (4, 2, 3, 3),
        "first.bias": (4,),
        "norm.weight": (4,),
        "norm.bias": (4,),
        "norm.running_mean": (4,),
        "apart.weight": (4, 2, 3, 3),
        "strided.weight": (3, 4, 2, 2),
        "strided.bias": (3,),
        "last.weight": (CLASSES, 3),
        "last.bias": (CLASSES,),
    }
    tensors = {name: 0.5 * rng.standard_normal(shape) for name, shape in shapes.items()}
    tensors["norm.running_var"] = 0.5 + rng.random(4)
    return {name: tensor.astype(np.float32) for name, tensor in tensors.items()}


def tiny_images(count=60, seed=0):
    """Images (n, 6, 6, 2) of bright spots, and their classes: which third of the rows is bright."""
    rng = np.random.default_rng(seed)
    classes = rng.integers(0, CLASSES, count)
    images = rng.integers(0, 120, (count, 6, 6, 2))
    for image, one in zip(images, classes, strict=True):
        image[2 * one : 2 * one + 2] += 100
    return images.astype(np.uint8), classes


def write_images(path, count=60, test=None):
    """An .npz file of them."""
    images, classes = tiny_images(count)
    arrays = {"images": images, "labels": classes}
    if test is not None:
        arrays["test"] = test
    np.savez(path, **arrays)
    return path
