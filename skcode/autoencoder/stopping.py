"""Early stopping."""

from __future__ import annotations

import numpy as np


class Best:
    """Keeps the best parameters, and says when there were none better for long.

    Parameters
    ----------
    patience : int
        Epochs to wait for.
    tol : float
        Relative improvement that counts.
    variance : float
        Mean variance of a feature of the samples held out, in units of which their error is.

    Attributes
    ----------
    parameters : Parameters or None
        The best so far.
    """

    def __init__(self, patience, tol, variance):
        self.patience = patience
        self.tol = tol
        self.variance = variance
        self.error = np.inf
        self.n_without = 0
        self.parameters = None

    def exhausted(self, entries, training) -> bool:
        """Take note of an epoch by its entries of ``history_``; return whether to stop.

        Epochs before codes are as sparse as they are to be do not count.
        """
        if not training.is_settled(entries["mean_l0"]):
            return False
        price = 0.0
        if not training.plan.steered:  # or a given alpha would be best before it works
            price = entries["penalty"] * training.input_map.unit**2 / self.variance
        return self._is_enough(entries["held_out"] + price, training.parameters)

    def _is_enough(self, error, parameters):
        self.n_without = 0 if error < (1 - self.tol) * self.error else self.n_without + 1
        if error < self.error:
            self.error, self.parameters = error, parameters.copy()
        return self.n_without >= self.patience
