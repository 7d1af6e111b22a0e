import copy

import numpy as np
import pytest
from joblib import parallel_config

from skcode._training import Adam, minibatches, record


def test_minibatches_visit_every_sample_once(rng):
    batches = list(minibatches(10, 4, rng))
    assert [len(batch) for batch in batches] == [4, 4, 2]
    assert sorted(np.concatenate(batches)) == list(range(10))
    assert [list(batch) for batch in minibatches(10, 4, rng)] != [list(batch) for batch in batches]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_adam_is_the_textbook_recursion(rng, dtype):
    gradients = rng.standard_normal((5, 3, 2)).astype(dtype)
    parameter = rng.standard_normal((3, 2)).astype(dtype)
    expected, first, second = parameter.astype(float), 0.0, 0.0
    optimiser = Adam({"w": parameter, "idle": np.ones(2, dtype)}, learning_rate=0.01)
    for t, gradient in enumerate(gradients.astype(float), start=1):
        optimiser.step({"w": gradient.astype(dtype)})
        first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
        expected -= 0.01 * (first / (1 - 0.9**t)) / (np.sqrt(second / (1 - 0.999**t)) + 1e-8)
    np.testing.assert_allclose(parameter, expected, rtol=1e-5 if dtype == np.float32 else 1e-12)
    np.testing.assert_array_equal(optimiser.parameters["idle"], 1)


def test_first_step_has_the_length_of_the_learning_rate(rng):
    parameter = np.zeros(4)
    Adam({"w": parameter}, 0.1).step({"w": np.array([1e-3, -5.0, 2.0, -1e3])})
    np.testing.assert_allclose(parameter, [-0.1, 0.1, -0.1, 0.1], rtol=1e-4)


@pytest.mark.parametrize("bad", ["Fortran", "read-only", "strided"])
def test_what_cannot_be_changed_in_place_is_an_error(rng, bad):
    parameter = np.asfortranarray(rng.standard_normal((4, 3))) if bad == "Fortran" else rng.standard_normal((4, 3))
    if bad == "read-only":
        parameter.flags.writeable = False
    if bad == "strided":
        parameter = parameter[::2]
    optimiser, before = Adam({"idle": np.zeros(2), "w": parameter}, 0.1), parameter.copy()
    optimiser.step({"idle": np.ones(2)})  # what does not move may be what it likes
    with pytest.raises(ValueError, match="'w' must be C-contiguous and writable"):
        optimiser.step({"w": np.ones(parameter.shape), "idle": np.ones(2)})
    np.testing.assert_array_equal(parameter, before)
    np.testing.assert_allclose(optimiser.parameters["idle"], -0.1)
    assert optimiser.n_steps == 1


def test_a_copy_of_an_optimiser_goes_on_alone(rng):
    first, second = rng.standard_normal((2, 5))
    one = {"w": np.zeros(5)}
    optimiser = Adam(one, 0.1)
    optimiser.step({"w": first})
    other = {"w": one["w"].copy()}
    twin = optimiser.copy(other)
    twin.step({"w": second})
    before = one["w"].copy()
    optimiser.step({"w": second})
    assert np.abs(one["w"] - before).min() > 0
    np.testing.assert_array_equal(one["w"], other["w"])


class Learner:
    verbose = 0

    def __init__(self):
        self.n_iter_, self.history_ = 0, {}


class Interrupting:
    def __float__(self):
        raise KeyboardInterrupt


def test_a_record_that_is_cut_off_is_none():
    learner = Learner()
    record(learner, {"error": 1.0, "dead": 0}, "epoch")
    with pytest.raises(KeyboardInterrupt):
        record(learner, {"error": 2.0, "dead": Interrupting()}, "epoch")
    assert (learner.n_iter_, learner.history_) == (1, {"error": [1.0], "dead": [0.0]})


def test_a_record_leaves_a_copy_of_the_estimator_alone():
    learner = Learner()
    record(learner, {"error": 1.0}, "epoch")
    other = copy.copy(learner)
    record(learner, {"error": 2.0}, "epoch")
    assert (other.n_iter_, other.history_) == (1, {"error": [1.0]})
    assert (learner.n_iter_, learner.history_) == (2, {"error": [1.0, 2.0]})


def test_large_parameters_move_whatever_the_backend(rng):
    gradient = rng.standard_normal((1024, 300))  # more than one thread takes at once
    moved = []
    for backend in ("threading", "loky"):
        parameter = np.zeros((1024, 300))
        with parallel_config(backend, n_jobs=2):
            Adam({"w": parameter}, 0.1).step({"w": gradient})
        moved.append(parameter)
    np.testing.assert_allclose(moved[0], -0.1 * np.sign(gradient), rtol=1e-2)
    np.testing.assert_array_equal(*moved)
