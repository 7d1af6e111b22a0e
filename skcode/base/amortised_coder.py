"""Coders that read codes off with a trained network."""

from __future__ import annotations

import copy
from abc import abstractmethod
from functools import partial

import numpy as np
import scipy.sparse as sp
from sklearn.base import clone

from .._parallel import map_chunks
from .._validation import N_JOBS, HasMethods, check_parameters
from .base_coder import BaseCoder, blocks

_CHUNK_SAMPLES = 1024  # that an amortised coder reads codes of at once


class AmortisedCoder(BaseCoder):
    """Base of coders that read codes off with a trained network, and may go on from there.

    Subclasses take the parameters of ``_amortised_constraints`` and implement ``_reader``; their ``fit`` ends with
    ``_fit_refiner``.
    """

    _amortised_constraints = {
        "refine": [HasMethods(["codes", "fit", "get_params", "set_params"]), None],
        "sparse_output": ["boolean"],
        "n_jobs": N_JOBS,
        "verbose": ["verbose"],
    }

    @abstractmethod
    def _reader(self, dtype):
        """Return a function of validated samples of a dtype and of whether codes are to be CSR, that gives their codes.

        It can be pickled, for workers of other processes.
        """

    def _what_signs_codes(self):
        """Return the parameter by which codes may be negative, with its value, or None if they cannot be."""
        return None

    def _check_combinations(self):
        super()._check_combinations()
        if self.refine is None:
            return
        if not hasattr(self.refine, "dictionary"):
            raise ValueError(
                f"refine must be a coder on a given dictionary, such as FISTACoder(), got {self.refine!r}."
            )
        signs = self._what_signs_codes()
        if signs is not None and getattr(self.refine, "positive", False):
            raise ValueError(
                f"refine must not drop the negative codes of {signs}: give positive=False to "
                f"{type(self.refine).__name__}, got {self.refine!r}."
            )
        check_parameters(self.refine)

    def _fit_refiner(self, X):
        """Fit ``refine``, if there is one, on this coder's dictionary and offset."""
        refiner = None
        if self.refine is not None:
            refiner = clone(self.refine).set_params(dictionary=self.components_, offset=self.offset_).fit(X)
        self._refiner = refiner

    @property
    def refiner_(self):
        """The fitted ``refine`` on the dictionary and the offset of the moment, or None."""
        refiner = self._refiner
        if refiner is not None:
            own, its = (self.components_, self.offset_), (refiner.components_, refiner.offset_)
            if not all(map(np.array_equal, own, its)):  # they were assigned after `fit`
                refiner = copy.copy(refiner)
                refiner.components_, refiner.offset_ = own
                self._refiner = refiner
        return refiner

    def _read_off(self, X, sparse):
        """Return the codes that the network gives validated samples."""
        work = partial(_read_slice, X=X, read=self._reader(X.dtype), sparse=sparse)
        chunks = map_chunks(work, len(X), _CHUNK_SAMPLES, self.n_jobs)
        return sp.vstack(chunks, format="csr") if sparse else np.concatenate(chunks)

    def _encode(self, X):
        refiner = self.refiner_
        if refiner is None:
            return self._read_off(X, self.sparse_output)
        codes = refiner.codes(X, codes_init=self._read_off(X, sparse=True)).codes
        if sp.issparse(codes) == self.sparse_output:
            return codes
        return sp.csr_array(codes) if self.sparse_output else codes.toarray()

    def _sparse_blocks(self, X):
        refiner = self.refiner_
        if refiner is None:
            return self._blocks_read_off(X)
        return refiner._sparse_blocks(X, codes_init=lambda part: self._read_off(X[part], sparse=True))

    def _blocks_read_off(self, X):
        for part in blocks(len(X)):
            yield part, self._read_off(X[part], sparse=True)

    def _warn_of_silence(self, X, codes):
        if self._refiner is None:  # the refiner has warned
            super()._warn_of_silence(X, codes)

    def _what_silences(self, X):
        largest = max(np.abs(X[part] - self.offset_).max() for part in blocks(len(X)))
        return (
            f": their largest feature, less the offset, is {largest:.2g}. Scale them as the training samples were, or "
            "train for denser codes."
        )


def _read_slice(part, *, X, read, sparse):
    return read(np.ascontiguousarray(X[part]), sparse)
