"""What the inputs of metrics have in common."""

from __future__ import annotations


def check_same_length(**arrays) -> None:
    """Raise if arrays, given by the names of the parameters, are not of the same samples."""
    lengths = {name: array.shape[0] for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(
            f"{' and '.join(lengths)} have inconsistent numbers of samples: {' and '.join(map(str, lengths.values()))}."
        )
