"""The data that the benchmarks run on: the paper's protocol, a real network, and anybody's own activations."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from _harness import fail
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier

from skcode.datasets import make_compositional_shift

_ROWS_AT_ONCE = 65_536
_FEWEST_ROWS = 20
_HIDDEN_UNITS = 32
_EPOCHS = 100
_ALPHA = 0.1  # the paper's


@dataclass
class Problem:
    """Samples to learn from and to judge on; what is not known is None."""

    name: str
    n_components: int
    n_active: int
    alpha: float
    X_train: np.ndarray
    X_id: np.ndarray
    X_ood: np.ndarray | None = None
    y_train: np.ndarray | None = None
    y_id: np.ndarray | None = None
    y_ood: np.ndarray | None = None
    codes_train: np.ndarray | None = None
    codes_id: np.ndarray | None = None
    codes_ood: np.ndarray | None = None
    dictionary: np.ndarray | None = None
    n_rows: int | None = None  # of the file that samples were drawn from

    @property
    def unlabelled(self) -> bool:
        """Whether nothing is known but samples."""
        return self.codes_ood is None and self.y_ood is None


def synthetic(
    seed: int, n_components: int | None, n_active: int, n_samples: int, n_features: int | None = None
) -> Problem:
    """Return the paper's protocol, in float32 as published."""
    n_components = 100 if n_components is None else n_components
    try:
        data = make_compositional_shift(
            n_samples, n_components, n_active, n_features, dtype=np.float32, random_state=seed
        )
    except ValueError as error:
        fail(str(error))
    return Problem(
        "synthetic", n_components, n_active, _ALPHA, data.X_train, data.X_val, data.X_ood, data.y_train, data.y_val,
        data.y_ood, data.codes_train, data.codes_val, data.codes_ood, data.dictionary,
    )  # fmt: skip


def digits(seed: int, n_components: int | None, n_active: int, n_samples: int) -> Problem:
    """Return hidden activations of a network that reads two digits side by side.

    The concepts are "left is a" and "right is b"; each digit appears on each side. In distribution (training included)
    ``b - a`` modulo 10 is below 5, out of distribution it is 5 or more: new combinations of known concepts, on images
    that neither the network nor the learners have seen. The label is the left digit.
    """
    rng = np.random.RandomState(seed)
    images, labels = load_digits(return_X_y=True)
    images = images / 16.0
    order = rng.permutation(len(images))
    seen, unseen = order[:1100], order[1100:]
    half = n_samples // 2
    (train, left, right), test_id, test_ood = (
        _pairs(images, labels, pool, half, shifted, rng) for pool, shifted in ((seen, 0), (unseen, 0), (unseen, 1))
    )
    both = np.hstack([np.eye(10)[left], np.eye(10)[right]])
    network = MLPClassifier((_HIDDEN_UNITS,), random_state=seed)
    for _ in range(_EPOCHS):
        network.partial_fit(train, both, classes=np.arange(20))

    def hidden(pixels):
        return np.maximum(pixels @ network.coefs_[0] + network.intercepts_[0], 0).astype(np.float32)

    X_train, X_id, X_ood = _centred(hidden(train), hidden(test_id[0]), hidden(test_ood[0]))
    width = _width(n_components, n_active, _HIDDEN_UNITS)
    return Problem("digits", width, n_active, _auto_alpha(X_train), X_train, X_id, X_ood, left, test_id[1], test_ood[1])


def _pairs(images, labels, pool, n_pairs, shifted, rng):
    """Return ``n_pairs`` images side by side with their left and right labels, in or out of distribution."""
    left, right = rng.choice(pool, 4 * n_pairs), rng.choice(pool, 4 * n_pairs)
    fits = ((labels[right] - labels[left]) % 10 >= 5) == shifted
    left, right = left[fits][:n_pairs], right[fits][:n_pairs]
    return np.hstack([images[left], images[right]]), labels[left], labels[right]


def from_file(path: str, seed: int, n_components: int | None, n_active: int, n_samples: int) -> Problem:
    """Return ``n_samples`` random rows of a ``.npy`` file of activations, half to learn from and half held out.

    They come in the scale of the paper's samples, which its autoencoders' settings are for.
    """
    activations = open_activations(path)
    rng = np.random.RandomState(seed)
    rows = rng.permutation(len(activations))[: min(n_samples, len(activations))]
    X = np.asarray(activations[np.sort(rows)], dtype=np.float32)
    X = X[rng.permutation(len(X))]
    X_train, X_id = _centred(X[: len(X) // 2], X[len(X) // 2 :])
    width = _width(n_components, n_active, X.shape[1])
    unit = _auto_alpha(X_train, path) / _ALPHA
    return Problem(Path(path).name, width, n_active, _ALPHA, X_train / unit, X_id / unit, n_rows=len(activations))


@functools.cache
def open_activations(path: str) -> np.ndarray:
    """Return the memory map of a ``.npy`` file of shape ``(n_samples, n_features)`` and finite reals, or end."""
    try:
        activations = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        fail(f"--data {path}: no such file, nor one of the data sets that --help names")
    except (OSError, ValueError, EOFError) as error:
        if "pickle" in str(error):  # what numpy says of any other file: that it could be loaded unsafely
            fail(f"--data {path}: not a .npy file of numbers, as numpy.save writes it")
        fail(f"--data {path}: not a readable .npy array ({error})".replace("\n", " "))
    if not isinstance(activations, np.ndarray):
        fail(f"--data {path}: wanted one .npy array, got an archive of several")
    if activations.ndim != 2 or len(activations) < _FEWEST_ROWS or activations.shape[1] < 1:
        fail(
            f"--data {path}: wanted shape (n_samples, n_features) with at least {_FEWEST_ROWS} samples, "
            f"got {activations.shape}"
        )
    if activations.dtype.kind not in "fiu":
        fail(f"--data {path}: wanted real numbers, got dtype {activations.dtype}")
    for start in range(0, len(activations), _ROWS_AT_ONCE):
        with np.errstate(over="ignore"):  # what float32 cannot hold is as bad
            bad = ~np.isfinite(activations[start : start + _ROWS_AT_ONCE].astype(np.float32)).all(axis=1)
        if bad.any():
            fail(f"--data {path}: NaN or infinity (in float32) in row {start + int(np.argmax(bad))}")
    return activations


def _width(n_components, n_active, n_features):
    """Return the width of dictionaries on real data, twice the features by default, or end if it is below k."""
    width = 2 * n_features if n_components is None else n_components
    if n_active > width:
        fail(f"--n-active {n_active}: must be at most the {width} components")
    return width


def _centred(X_train, *others):
    """Return samples without the training mean, which no learner should have to learn before the race starts."""
    mean = X_train.mean(axis=0, dtype=np.float64)
    return [(X - mean).astype(np.float32) for X in (X_train, *others)]


def _auto_alpha(X, path="digits"):
    """Return the paper's penalty in units of the samples' scale."""
    scale = float(np.sqrt(np.einsum("ij,ij->", X, X, dtype=np.float64) / len(X)))
    if not 1e-12 < scale < 1e12:
        fail(f"--data {path}: samples lie at a distance of {scale:.2g} from their mean; wanted between 1e-12 and 1e12")
    return 0.055 * scale
