"""Coders whose codes solve a problem for each sample, each with a certificate."""

from __future__ import annotations

from abc import abstractmethod
from numbers import Integral

import numpy as np
import scipy.sparse as sp
from sklearn.exceptions import ConvergenceWarning

from .. import solvers
from .._validation import ArrayLike, MatrixLike, StrOptions, check_array
from .._warnings import warn
from ..solvers import CodingResult, PreparedDictionary
from .base_coder import BaseCoder

_PENALTIES = {"l1": "relative duality gap", "mcp": "violation of stationarity"}  # and what certifies them
_PROBE_SAMPLES = 32  # training rows that `n_iter_` of a coder is measured on


class CertifiedCoder(BaseCoder):
    """Base of coders whose codes solve a problem for each sample, each with a certificate.

    Subclasses take the parameters of ``_inference_constraints`` and implement ``_inference_options``; their ``fit``
    calls ``_set_offset``, ``_set_components`` and sets ``alpha_``.
    """

    _prefix = ""  # of the parameters of inference, where those of learning have the same names
    _inference_constraints = {
        "offset": ["array-like", StrOptions({"mean"}), None],
        "positive": ["boolean"],
        "penalty": [StrOptions(set(_PENALTIES))],
        "debias": ["boolean"],
        "solver": [StrOptions({name for of_penalty in solvers.SOLVERS.values() for name in of_penalty})],
        "sparse_output": ["boolean"],
        "n_jobs": [None, Integral],
        "verbose": ["verbose"],
    }

    @abstractmethod
    def _inference_options(self):
        """Return the solver's ``max_iter``, ``tol`` and ``restart``."""

    def codes(self, X: ArrayLike, codes_init: MatrixLike | None = None) -> CodingResult:
        """Return the codes of samples with what was spent on them and their certificate.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples.
        codes_init : {array-like, CSR} of shape (n_samples, n_components), optional
            Where the solver starts; an encoder's guess, for instance. With ``positive=True``, negative codes start
            at 0. By default all do, or with ``penalty="mcp"`` at the L1 codes.

        Returns
        -------
        result : CodingResult
            ``codes`` as `transform` returns them; ``n_iter`` and ``dual_gap`` (relative to ``1/2 ||x - offset||^2``)
            of shape (n_samples,). With ``debias=True`` the gap is that of the codes before the refit; with
            ``penalty="mcp"`` it is the violation of stationarity (see `skcode.solvers.mcp`).

        Warns
        -----
        ConvergenceWarning
            Once, if any sample misses ``tol`` within ``max_iter`` iterations.

        Raises
        ------
        ValueError
            If ``X`` or ``codes_init`` has another shape, or numbers that are not finite.
        """
        X = self._check_samples(X)
        return self._infer(X, None if codes_init is None else self._check_start(codes_init, X))

    def _check_start(self, codes_init, X):
        codes = check_array(codes_init, accept_sparse="csr", dtype=X.dtype, input_name="codes_init")
        wanted = len(X), len(self.components_)
        if codes.shape != wanted:
            raise ValueError(f"codes_init must have shape (n_samples, n_components)={wanted}, got {codes.shape}.")
        if sp.issparse(codes):
            codes = sp.csr_array(codes, copy=True)
            codes.sum_duplicates()
            return codes.maximum(0) if self.positive else codes
        return np.maximum(codes, 0) if self.positive else codes

    def _encode(self, X):
        return self._infer(X).codes

    def _infer(self, X, codes_init=None):
        result = self._solve(X, codes_init=codes_init)
        self._warn_of_misses(result, X.dtype)
        if self.verbose:
            l0 = np.asarray((result.codes != 0).sum(axis=1)).mean()
            print(
                f"[{type(self).__name__}] {len(X)} samples, mean L0 {l0:.2f}, median {np.median(result.n_iter):g} "
                f"iterations, worst {_PENALTIES[self.penalty]} {result.certificate.max():.1e}"
            )
        return self._refitted(X, result)

    def _warn_of_misses(self, result, dtype):
        options = self._inference_options()
        missed = ~(result.certificate <= options["tol"])  # NaN, from samples too large to square, is a miss
        if options["tol"] > 0 and missed.any():
            at_rest = dtype == np.float32 and (result.n_iter[missed] < options["max_iter"]).all()
            advice = (
                f"They are at rest: float32 gets no closer. Raise {self._prefix}tol, or use float64."
                if at_rest
                else f"Raise {self._prefix}max_iter or {self._prefix}tol."
            )
            warn(
                f"{np.count_nonzero(missed)} of {len(missed)} samples missed the {_PENALTIES[self.penalty]} "
                f"{options['tol']:g} within {options['max_iter']} iterations; the worst is "
                f"{result.certificate.max():.2g}. {advice}",
                ConvergenceWarning,
            )

    def _refitted(self, X, result):
        if not self.debias:
            return result
        codes = solvers.refit(
            X, result.codes, self._dictionary(), positive=self.positive, offset=self._offset(X), n_jobs=self.n_jobs
        )
        return result._replace(codes=codes)

    def _solve(self, X, sparse_output=None, codes_init=None):
        self._check_solver()
        options = self._inference_options()
        if self.solver != "fista":
            options.pop("restart")
        return solvers.SOLVERS[self.penalty][self.solver](
            X,
            self._dictionary(),
            self.alpha_,
            positive=self.positive,
            codes_init=codes_init,
            offset=self._offset(X),
            sparse_output=self.sparse_output if sparse_output is None else sparse_output,
            n_jobs=self.n_jobs,
            **options,
        )

    def _check_solver(self):
        if self.penalty == "mcp" and self.solver != "working_set":
            raise ValueError(f"penalty='mcp' has a solver of its own: leave solver='working_set', got {self.solver!r}.")

    def _check_training_samples(self, X):
        self._check_solver()
        return super()._check_training_samples(X)

    def _set_components(self, components):
        self.components_ = components.view()
        self.components_.flags.writeable = False  # what is computed from them would not follow a change in place
        self._prepared = PreparedDictionary(self.components_)

    def _dictionary(self):
        """Return ``components_``, with what earlier calls computed from them."""
        prepared = getattr(self, "_prepared", None)
        known = prepared is not None and prepared.components is self.components_
        return prepared if known else PreparedDictionary(self.components_)

    def __getstate__(self):
        return {name: value for name, value in super().__getstate__().items() if name != "_prepared"}

    def __setstate__(self, state):
        super().__setstate__(state)
        if "components_" in state:
            self._set_components(self.components_)

    def _iterations_on_probe(self, X):
        """Return the most iterations, at least 1, that the first training samples need."""
        return max(1, int(self._solve(X[:_PROBE_SAMPLES]).n_iter.max()))

    def _offset(self, X):
        """Return the offset, or None if there is nothing to subtract."""
        return self.offset_ if self.offset_.any() else None
