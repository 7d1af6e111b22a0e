"""The order of the gallery: one story, first page first."""

STORY = [
    # where to begin
    "plot_superposition.py",
    "plot_own_activations.py",
    "plot_compositional_shift.py",
    # is it the encoder, or is it the dictionary?
    "plot_encoder_or_dictionary.py",
    "plot_frozen_decoder.py",
    "plot_vary_latents.py",
    "plot_vary_samples.py",
    "plot_vary_sparsity.py",
    # what can be found, and how it is measured
    "plot_phase_transition.py",
    "plot_chance.py",
    "plot_penalty_sensitivity.py",
    # exact codes
    "plot_certificate.py",
    "plot_amortisation_gap.py",
    # dictionaries
    "plot_dictionaries_at_scale.py",
    "plot_learning_dynamics.py",
    "plot_unbiased_finish.py",
    "plot_merged_atoms.py",
    "plot_families.py",
    # in use
    "plot_whitening.py",
    "plot_digits.py",
    "plot_grid_search.py",
    # superposition elsewhere
    "plot_alignment.py",
    "plot_toy_model.py",
]


def by_story(name: str) -> int:
    """Return the place of an example in the story."""
    if name not in STORY:
        raise ValueError(f"{name} has no place in the gallery: add it to STORY in doc/gallery_order.py.")
    return STORY.index(name)
