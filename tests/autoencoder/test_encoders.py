import numpy as np
import pytest

from skcode.autoencoder.encoders import ACTIVATIONS, JumpReLU, MatchingPursuit, TopK, _largest_per_row

N_SAMPLES, N_COMPONENTS, N_FEATURES, ALPHA = 30, 12, 6, 0.03


def problem(rng, name, n_active=3, bandwidth=0.5):
    encoder = ACTIVATIONS[name](n_active, bandwidth)
    parameters = {
        "encoder": 0.7 * rng.standard_normal((N_COMPONENTS, N_FEATURES)),
        "encoder_bias": 0.1 * rng.standard_normal(N_COMPONENTS),
        "decoder": 0.7 * rng.standard_normal((N_COMPONENTS, N_FEATURES)),
        "decoder_bias": 0.1 * rng.standard_normal(N_FEATURES),
    }
    encoder.initialise(parameters)
    if name == "jumprelu":
        parameters["log_threshold"] = np.log(rng.uniform(0.1, 0.6, N_COMPONENTS))
    return encoder, parameters, rng.standard_normal((N_SAMPLES, N_FEATURES))


def reconstruct(encoder, parameters, X):
    decoder = parameters["decoder"]
    if encoder.signed:
        decoder = decoder / np.linalg.norm(decoder, axis=1, keepdims=True)
    return encoder.encode(parameters, X) @ decoder + parameters["decoder_bias"]


def penalty(encoder, parameters, X):
    codes = encoder.encode(parameters, X)
    if type(encoder).__name__ == "ReLU":
        return ALPHA * np.abs(codes).sum(axis=1).mean()
    if type(encoder).__name__ == "JumpReLU":
        return ALPHA * (codes != 0).sum(axis=1).mean()
    return 0.0


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_loss_is_what_the_docstring_says(rng, name):
    encoder, parameters, X = problem(rng, name)
    squared_error, cost, codes, _ = encoder.loss_and_gradients(parameters, X, ALPHA)
    assert squared_error == pytest.approx(np.mean((X - reconstruct(encoder, parameters, X)) ** 2))
    assert cost == pytest.approx(penalty(encoder, parameters, X))
    np.testing.assert_allclose(codes, encoder.encode(parameters, X), atol=1e-12)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_gradients_are_finite_differences(rng, name):
    encoder, parameters, X = problem(rng, name)
    _, _, _, gradients = encoder.loss_and_gradients(parameters, X, ALPHA)
    assert set(gradients) == set(parameters)

    def loss():
        value = np.mean((X - reconstruct(encoder, parameters, X)) ** 2)
        # The L0 penalty is flat almost everywhere: only the straight-through estimate moves it.
        return value + (penalty(encoder, parameters, X) if name == "relu" else 0.0)

    for parameter in set(parameters) - {"log_threshold"}:
        values = parameters[parameter]
        for index in np.ndindex(values.shape):
            kept = values[index]
            values[index] = kept + 1e-6
            above = loss()
            values[index] = kept - 1e-6
            below = loss()
            values[index] = kept
            assert gradients[parameter][index] == pytest.approx((above - below) / 2e-6, abs=2e-7), (parameter, index)


def test_straight_through_gradient_of_the_threshold_by_hand(rng):
    encoder, parameters, X = problem(rng, "jumprelu", bandwidth=0.4)
    _, _, codes, gradients = encoder.loss_and_gradients(parameters, X, ALPHA)
    threshold = np.exp(parameters["log_threshold"])
    rectified = np.maximum((X - parameters["decoder_bias"]) @ parameters["encoder"].T + parameters["encoder_bias"], 0)
    error = 2 * (codes @ parameters["decoder"] + parameters["decoder_bias"] - X) / X.size
    through_codes = -(threshold / 0.4) * (np.abs(rectified - threshold) <= 0.2) * (error @ parameters["decoder"].T)
    through_penalty = -(1 / 0.4) * (np.abs(codes - threshold) <= 0.2) * ALPHA / N_SAMPLES
    expected = threshold * (through_codes + through_penalty).sum(axis=0)
    assert np.abs(expected).max() > 0
    np.testing.assert_allclose(gradients["log_threshold"], expected, rtol=1e-10)


@pytest.mark.parametrize("count", [1, 3, 12])
@pytest.mark.parametrize("ties", [False, True])
def test_largest_per_row_is_a_sort(rng, count, ties):
    values = rng.standard_normal((200, 12)).astype(np.float32)
    if ties:
        values = values.round(0)
    places = np.argsort(-values, axis=1, kind="stable")[:, :count]
    expected = np.zeros_like(values)
    np.put_along_axis(expected, places, np.maximum(np.take_along_axis(values, places, axis=1), 0), axis=1)
    np.testing.assert_array_equal(_largest_per_row(values, count), expected)


def test_topk_keeps_at_most_k_and_only_positive(rng):
    encoder, parameters, X = problem(rng, "topk")
    codes = encoder.encode(parameters, X)
    assert np.count_nonzero(codes, axis=1).max() <= 3
    assert codes.min() >= 0
    assert isinstance(encoder, TopK)


def test_jump_is_strict(rng):
    encoder = JumpReLU(1, 1e-3)
    parameters = {"encoder": np.eye(1), "encoder_bias": np.zeros(1), "decoder": np.eye(1), "decoder_bias": np.zeros(1)}
    parameters["log_threshold"] = np.log(np.array([0.5]))
    threshold = encoder.threshold(parameters)[0]
    X = np.array([[threshold], [np.nextafter(threshold, 1)], [-1.0]])
    assert encoder.encode(parameters, X).ravel().tolist() == [0.0, np.nextafter(threshold, 1), 0.0]


def test_matching_pursuit_is_the_greedy_loop(rng):
    encoder, parameters, X = problem(rng, "matching_pursuit", n_active=4)
    atoms = parameters["decoder"] / np.linalg.norm(parameters["decoder"], axis=1, keepdims=True)
    expected = np.zeros((N_SAMPLES, N_COMPONENTS))
    for code, x in zip(expected, X, strict=True):
        rest = x - parameters["decoder_bias"]
        for _ in range(4):
            correlation = np.where(code == 0, atoms @ rest, 0)
            best = np.argmax(np.abs(correlation))
            code[best] = correlation[best]
            rest = rest - correlation[best] * atoms[best]
    codes = encoder.encode(parameters, X)
    np.testing.assert_allclose(codes, expected, atol=1e-12)
    assert (codes < 0).any()


def test_matching_pursuit_of_nothing_is_nothing():
    encoder = MatchingPursuit(3, None)
    parameters = {"decoder": np.eye(4), "decoder_bias": np.zeros(4)}
    codes = encoder.encode(parameters, np.array([[0.0, 0, 0, 0], [0, 2, 0, 0]]))
    assert codes.tolist() == [[0, 0, 0, 0], [0, 2, 0, 0]]
