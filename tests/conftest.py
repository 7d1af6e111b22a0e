from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from sklearn.utils import Bunch
from threadpoolctl import threadpool_limits

from skcode.datasets import make_compositional_shift

# The same examples in every run; no deadline, because the first call of a kernel compiles it.
settings.register_profile("skcode", derandomize=True, deadline=None)
settings.load_profile("skcode")


@pytest.fixture(autouse=True, scope="session")
def one_blas_thread():
    """Hold BLAS to one thread: threads of small products wait for each other wherever another process has a core."""
    with threadpool_limits(1, user_api="blas"):
        yield


@pytest.fixture
def rng():
    return np.random.RandomState(100)


@pytest.fixture
def random_dictionary(rng):
    """Return a function that draws a unit-norm Gaussian dictionary."""

    def draw(n_components, n_features):
        atoms = rng.standard_normal((n_components, n_features))
        return atoms / np.linalg.norm(atoms, axis=1, keepdims=True)

    return draw


@pytest.fixture(scope="session")
def shift():
    """Return a small problem of the paper's protocol."""
    return make_compositional_shift(600, 40, 4, random_state=100)


@pytest.fixture(scope="session")
def official():
    """Return the data that the authors' code draws at n=100, k=10, 5000 samples, seed 0, codes rounded to float32."""
    stored = np.load(Path(__file__).parent / "data" / "official_n100_seed0.npz")
    data = Bunch(dictionary=stored["dictionary"].astype(np.float64))
    for part in ("train", "val", "ood"):
        codes = np.zeros((len(stored[f"{part}_indices"]), 100))
        np.put_along_axis(codes, stored[f"{part}_indices"].astype(int), stored[f"{part}_values"], axis=1)
        data[f"codes_{part}"] = codes
        data[f"X_{part}"] = codes @ data.dictionary
        data[f"y_{part}"] = codes[:, 0] > 0.5
    return data


@pytest.fixture(scope="session")
def superposed():
    """Return the paper's protocol at n=100."""
    return make_compositional_shift(5000, 100, 10, dtype=np.float32, random_state=100)
