import pytest

from skcode.dictionary.schedule import Schedule


def of_fit(n_components, n_samples):
    return Schedule.of_fit(n_components, n_samples).n_visits


def test_few_samples_are_visited_more_often_and_forgotten_sooner():
    often, more, most = (of_fit(1000, n) / 1000 for n in (10_000, 2500, 2000))
    assert 80 <= often < more < most < 500
    memory = [Schedule.of_fit(20, n).memory for n in (200, 40, 20)]
    assert memory[0] == Schedule.of_stream(20).memory > memory[1] > memory[2]
    left_of_a_pass = memory[2] ** (20 / 20)
    assert left_of_a_pass == pytest.approx(0.003)


def test_few_atoms_take_as_many_samples_as_more_do():
    """Each sample holds more of few atoms, and says less of each."""
    assert Schedule.of_stream(50).n_visits == Schedule.of_stream(250).n_visits < Schedule.of_stream(500).n_visits


def test_what_cannot_be_learned_takes_no_longer_than_what_can():
    """Atoms that are more than the samples cannot be told apart, however often these are seen."""
    schedule = Schedule.of_fit(4000, 200)
    assert schedule.n_visits <= 10 * 200
    assert schedule.n_rounds(200) == schedule.fewest_rounds


def test_penalties_fall_from_the_search_to_the_end_of_the_finish():
    schedule = Schedule.of_stream(100)
    search = [schedule.search_penalty(share) for share in (0, 0.3, 1)]
    finish = [schedule.finish_alpha(share) for share in (0, 0.5, 1)]
    alphas = [alpha for alpha, _ in search]
    assert alphas == sorted(alphas, reverse=True)
    assert finish == sorted(finish, reverse=True)
    assert finish[0] == pytest.approx(alphas[-1])
    gammas = [gamma for _, gamma in search]
    assert gammas == sorted(gammas, reverse=True)
    assert gammas[-1] > schedule.gamma_finish > 1


@pytest.mark.parametrize(("bytes_of_sample", "kept"), [(400, 10_000), (1 << 20, 256), (1 << 24, 64)])
def test_what_is_kept_is_bounded_in_memory(bytes_of_sample, kept):
    assert Schedule.of_stream(100).most_kept(bytes_of_sample) == kept
