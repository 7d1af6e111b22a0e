"""Coders that read codes off with a trained network."""

from __future__ import annotations

from abc import abstractmethod
from functools import partial
from numbers import Integral

import numpy as np
import scipy.sparse as sp
from sklearn.base import clone

from .._parallel import map_chunks
from .._validation import HasMethods, check_parameters
from .base_coder import BaseCoder

_CHUNK_SAMPLES = 1024  # that an amortised coder reads codes of at once


class AmortisedCoder(BaseCoder):
    """Base of coders that read codes off with a trained network, and may go on from there.

    Subclasses take the parameters of ``_amortised_constraints`` and implement ``_reader``; their ``fit`` ends with
    ``_fit_refiner``.
    """

    _amortised_constraints = {
        "refine": [HasMethods(["codes", "fit", "get_params", "set_params"]), None],
        "sparse_output": ["boolean"],
        "n_jobs": [None, Integral],
        "verbose": ["verbose"],
    }

    @abstractmethod
    def _reader(self, dtype):
        """Return a function of validated samples of a dtype and a format that gives their codes.

        The format is ``"csr"`` or ``"dense"``; the function can be pickled, for workers of other processes.
        """

    def _check_training_samples(self, X):
        self._check_refine()
        return super()._check_training_samples(X)

    def _check_refine(self):
        if self.refine is None:
            return
        if isinstance(self.refine, type) or "dictionary" not in getattr(self.refine, "get_params", dict)():
            raise ValueError(
                f"refine must be a coder on a given dictionary, such as FISTACoder(), got {self.refine!r}."
            )
        check_parameters(self.refine)

    def _fit_refiner(self, X):
        """Set ``refiner_``: ``refine`` on this coder's dictionary and offset, or None."""
        refiner = None
        if self.refine is not None:
            refiner = clone(self.refine).set_params(dictionary=self.components_, offset=self.offset_).fit(X)
        self.refiner_ = refiner

    def _read(self, X, output):
        """Return the codes that the network reads off validated samples."""
        work = partial(_read_slice, X=X, read=self._reader(X.dtype), output=output)
        blocks = map_chunks(work, len(X), _CHUNK_SAMPLES, self.n_jobs)
        return sp.vstack(blocks, format="csr") if output == "csr" else np.concatenate(blocks)

    def _encode(self, X):
        if self.refiner_ is None:
            return self._read(X, "csr" if self.sparse_output else "dense")
        codes = self.refiner_.codes(X, codes_init=self._read(X, "csr")).codes
        if sp.issparse(codes) == self.sparse_output:
            return codes
        return sp.csr_array(codes) if self.sparse_output else codes.toarray()


def _read_slice(part, *, X, read, output):
    return read(X[part], output)
