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

    Attributes
    ----------
    parameters : Parameters or None
        The best so far.
    """

    def __init__(self, patience, tol):
        self.patience = patience
        self.tol = tol
        self.error = np.inf
        self.waited = 0
        self.parameters = None

    def exhausted(self, error, parameters):
        """Take note of an epoch; return whether to stop."""
        self.waited = 0 if error < (1 - self.tol) * self.error else self.waited + 1
        if error < self.error:
            self.error, self.parameters = error, parameters.copy()
        return self.waited >= self.patience
