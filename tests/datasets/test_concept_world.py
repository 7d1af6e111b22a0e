import numpy as np
import pytest

from skcode.datasets import ConceptWorld, make_concept_world


@pytest.fixture(scope="module")
def world():
    return ConceptWorld(200, 60, n_trees=3, n_children=3, depth=3, random_state=100)


@pytest.fixture(scope="module")
def data(world):
    return world.sample(40_000, random_state=101)


def on(data):
    return (data.codes != 0).toarray()


def standard_errors(fires, frequencies):
    return (fires.mean(axis=0) - frequencies) / np.sqrt(frequencies * (1 - frequencies) / len(fires))


@pytest.mark.parametrize(
    "options",
    [{}, {"exclusive": False}, {"correlation": 0.3}, {"scaled_by_parent": True}, {"n_trees": 0}, {"n_children": 1}],
    ids=str,
)
def test_each_concept_fires_as_often_as_is_said(options):
    world = ConceptWorld(150, 40, **{"n_trees": 2, "depth": 3, "random_state": 100} | options)
    errors = standard_errors(on(world.sample(30_000, random_state=101)), world.frequencies)
    assert np.abs(errors).max() < 4.5
    assert np.std(errors) < 1.5


def test_frequencies_follow_the_power_law_where_parents_have_room():
    world = ConceptWorld(5000, 20, n_trees=0, random_state=100)
    share = (np.arange(1, 5001) ** -0.5 - 5000**-0.5) / (1 - 5000**-0.5)
    np.testing.assert_allclose(world.frequencies, 5e-4 + (0.4 - 5e-4) * share, rtol=0.05)  # of magnitudes clipped at 0


def test_families_are_trees(world):
    assert (world.parents[:3] == -1).all()
    np.testing.assert_array_equal(np.bincount(world.parents[3:120]), np.full(39, 3))
    assert (np.diff(world.parents[3:120]) >= 0).all()
    assert (world.parents[120:] == -1).all()


def test_a_child_fires_with_its_parent_and_without_its_siblings(world, data):
    fires, children = on(data), np.flatnonzero(world.parents >= 0)
    lost = fires[:, children] & ~fires[:, world.parents[children]]
    assert not lost.any()
    for parent in range(39):
        siblings = np.flatnonzero(world.parents == parent)
        assert fires[:, siblings].sum(axis=1).max() <= 1


def test_siblings_may_fire_together_if_they_do_not_exclude_each_other():
    world = ConceptWorld(13, 10, n_trees=1, n_children=3, depth=2, exclusive=False, random_state=100)
    fires = on(world.sample(20_000, random_state=101))
    assert fires[:, 1:4].sum(axis=1).max() == 3


def test_concepts_without_a_common_family_fire_together_by_common_factors():
    excess = {}
    for correlation in (0.0, 0.2):
        world = ConceptWorld(60, 20, n_trees=0, correlation=correlation, most_frequent=0.3, random_state=100)
        fires = on(world.sample(40_000, random_state=101)).astype(float)
        corrected = np.corrcoef(fires.T)[np.triu_indices(60, 1)]
        excess[correlation] = np.std(corrected) * np.sqrt(len(fires))
    assert excess[0.0] == pytest.approx(1, abs=0.1)
    assert excess[0.2] > 3


def test_magnitudes_are_as_published(world, data):
    codes = data.codes.tocsc()
    means = np.array([codes[:, [j]].data.mean() for j in range(200)])
    np.testing.assert_allclose(means[:20], world._means[:20], rtol=0.02)
    assert means[0] > means[-1]
    scaled = ConceptWorld(10, 8, n_trees=1, scaled_by_parent=True, random_state=100)
    codes = scaled.sample(40_000, random_state=101).codes.toarray()
    both = (codes[:, 0] > 0) & (codes[:, 1] > 0)
    assert np.corrcoef(codes[both, 0], codes[both, 1])[0, 1] > 0.2
    assert codes[both, 1].mean() == pytest.approx(scaled._means[1], rel=0.05)


def test_samples_are_mixtures_with_noise_and_mean_as_asked_for():
    world = ConceptWorld(50, 20, n_trees=1, noise=0.1, mean_norm=3, random_state=100)
    data = world.sample(5000, random_state=101)
    assert np.linalg.norm(world.mean) == pytest.approx(3, rel=1e-6)
    noise = data.X - data.codes @ world.dictionary - world.mean
    assert noise.std() == pytest.approx(0.1, rel=0.02)
    np.testing.assert_allclose(np.linalg.norm(world.dictionary, axis=1), 1, rtol=1e-6)
    assert data.X.dtype == data.codes.dtype == world.dictionary.dtype == np.float32
    assert ConceptWorld(5, 3, n_trees=1, dtype=np.float64, random_state=0).sample(9).X.dtype == np.float64


def test_directions_are_more_orthogonal_than_random_ones(world):
    random = np.random.RandomState(0).standard_normal((200, 60))
    random /= np.linalg.norm(random, axis=1, keepdims=True)
    potential = [np.square(atoms @ atoms.T).sum() for atoms in (world.dictionary, random)]
    assert potential[0] < 0.95 * potential[1]
    assert potential[0] >= 200**2 / 60 * (1 - 1e-6)  # that of a tight frame


def test_samples_depend_on_their_seed_only(world):
    one, same, other = (world.sample(5000, random_state=seed, n_jobs=jobs) for seed, jobs in ((1, 1), (1, 2), (2, 1)))
    np.testing.assert_array_equal(one.X, same.X)
    assert (one.codes != same.codes).nnz == 0
    assert not np.array_equal(one.X, other.X)
    first = make_concept_world(100, 50, n_components=20, n_features=10, n_trees=1, random_state=3)
    again = make_concept_world(100, 50, n_components=20, n_features=10, n_trees=1, random_state=3)
    np.testing.assert_array_equal(first.X_test, again.X_test)
    assert first.X_train.shape == (100, 10)
    assert first.codes_test.shape == (50, 20)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_components": 0}, "'n_components' parameter of ConceptWorld"),
        ({"most_frequent": 1.0}, "'most_frequent' parameter of ConceptWorld"),
        ({"least_frequent": 0.5}, "least_frequent=0.5 must be at most most_frequent=0.4"),
        ({"dtype": int}, "dtype"),
    ],
)
def test_bad_parameters_are_named(options, message):
    with pytest.raises((ValueError, TypeError), match=message):
        ConceptWorld(**options)


def test_no_samples_are_none_and_fewer_are_an_error(world):
    data = world.sample(0)
    assert data.X.shape == (0, 60)
    assert data.codes.shape == (0, 200)
    with pytest.raises(ValueError, match=r"'n_samples' parameter of ConceptWorld\.sample"):
        world.sample(-1)


def test_firing_is_that_of_sae_lens():
    """Their compensation for parents and siblings is approximate: families as a whole are compared."""
    torch = pytest.importorskip("torch")
    synthetic = pytest.importorskip("sae_lens.synthetic")
    settings = synthetic.SyntheticModelConfig(
        num_features=300,
        hidden_dim=60,
        firing_probability=synthetic.ZipfianFiringProbabilityConfig(exponent=0.5, max_prob=0.4, min_prob=5e-4),
        hierarchy=synthetic.HierarchyConfig(
            total_root_nodes=4, branching_factor=4, max_depth=2, mutually_exclusive_portion=1.0,
            compensate_probabilities=True,
        ),
        correlation=synthetic.LowRankCorrelationConfig(rank=25, correlation_scale=0.1),
        std_firing_magnitudes=0.1,
        mean_firing_magnitudes=4.5,
        seed=100,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(100)
        theirs = (synthetic.SyntheticModel(settings).activation_generator.sample(40_000) != 0).numpy()
    world = ConceptWorld(300, 60, n_trees=4, depth=2, random_state=100)
    ours = on(world.sample(40_000, random_state=101))
    assert ours.mean(axis=0)[84:] == pytest.approx(theirs.mean(axis=0)[84:], abs=0.004)  # without a family
    assert ours[:, :84].sum() == pytest.approx(theirs[:, :84].sum(), rel=0.1)
    for fires in (ours, theirs):
        child = np.flatnonzero(world.parents >= 0)
        assert not (fires[:, child] & ~fires[:, world.parents[child]]).any()
        for parent in range(20):
            assert fires[:, world.parents == parent].sum(axis=1).max() == 1
    spreads = []
    for fires in (ours, theirs):  # how far two concepts without a family fire together more or less than by chance
        common = fires[:, 84:124].astype(float)
        chances = np.corrcoef(common.T)[np.triu_indices(40, 1)]
        spreads.append(np.sqrt(np.mean(chances**2) - 1 / len(fires)))
    assert spreads[0] == pytest.approx(spreads[1], rel=0.3)
