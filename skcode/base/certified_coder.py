"""Coders whose codes solve a problem for each sample, each with a certificate."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from sklearn.exceptions import ConvergenceWarning

from .. import solvers
from .._validation import N_JOBS, ArrayLike, MatrixLike, StrOptions, check_array, check_dictionary
from .._warnings import warn
from ..penalties import PENALTIES
from ..solvers import CodingResult, PreparedDictionary, Status
from .base_coder import BaseCoder, blocks

_BEYOND = -1  # how a sample ends that is NaN when it is squared, beside `Status`
_PROBE_SAMPLES = 32  # training rows that `n_iter_` of a coder is measured on


class Stopping(NamedTuple):
    """When the work on a sample ends."""

    max_iter: int
    tol: float


class CertifiedCoder(BaseCoder):
    """Base of coders whose codes solve a problem for each sample, each with a certificate.

    Subclasses take the parameters of ``_inference_constraints``, ``max_iter`` and ``tol``; their ``fit`` calls
    ``_set_offset``, sets ``components_`` and ``alpha_``.
    """

    restart = True  # of subclasses without this parameter
    _prefix = ""  # of max_iter and tol, where learning has parameters of these names
    _inference_constraints = {
        "offset": ["array-like", StrOptions({"mean"}), None],
        "positive": ["boolean"],
        "penalty": [StrOptions(set(PENALTIES))],
        "debias": ["boolean"],
        "solver": [StrOptions({name for of_penalty in solvers.SOLVERS.values() for name in of_penalty})],
        "sparse_output": ["boolean"],
        "n_jobs": N_JOBS,
        "verbose": ["verbose"],
    }

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
            ``codes`` as `transform` returns them; ``n_iter``, ``status`` and ``dual_gap`` (relative to
            ``1/2 ||x - offset||^2``) of shape (n_samples,). With ``debias=True`` the gap is that of the codes before
            the refit; with ``penalty="mcp"`` there is a ``violation`` of stationarity in its place (see
            `skcode.solvers.mcp`).

        Warns
        -----
        ConvergenceWarning
            Once, if any sample misses ``tol``; it tells how the work on them ended, and what to change.
        UserWarning
            If all codes are zero, and ten samples or more are not.

        Raises
        ------
        ValueError
            If ``X`` or ``codes_init`` has another shape, or numbers that are not finite.
        """
        X = self._check_samples(X)
        result = self._infer(X, None if codes_init is None else self._check_codes_init(codes_init, X))
        self._warn_of_silence(X, result.codes)
        return result

    def _check_codes_init(self, codes_init, X):
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

    def _sparse_blocks(self, X, codes_init=None, warns=True):
        """Yield slices and their codes; ``codes_init`` makes those to start from out of a slice."""
        results = []
        for part in blocks(len(X)):
            start = None if codes_init is None else self._check_codes_init(codes_init(part), X[part])
            result = self._solve(X[part], sparse_output=True, codes_init=start)
            yield part, self._refitted(X[part], result).codes
            results.append(result._replace(codes=np.empty((len(X[part]), 0))))
        if warns:
            self._warn_of_misses(CodingResult.concatenate(results), X.dtype)

    def _infer(self, X, codes_init=None):
        result = self._solve(X, codes_init=codes_init)
        self._warn_of_misses(result, X.dtype)
        if self.verbose:
            l0 = np.asarray((result.codes != 0).sum(axis=1)).mean()
            print(
                f"[{type(self).__name__}] {len(X)} samples, mean L0 {l0:.2f}, median {np.median(result.n_iter):g} "
                f"iterations, worst {PENALTIES[self.penalty].certificate} {result.certificate.max():.1e}"
            )
        return self._refitted(X, result)

    def _warn_of_misses(self, result, dtype):
        """Warn of samples that are not certified, once for all of them, with how their work ended."""
        max_iter, tol = self._stopping
        missed = result.status != Status.CERTIFIED
        if tol == 0 or not missed.any():
            return
        ending = np.where(np.isnan(result.certificate), _BEYOND, result.status)
        finer = ", or use float64" if dtype == np.float32 else ""
        told = {
            _BEYOND: f"are beyond what can be squared in {dtype}: scale X",
            Status.AT_REST: f"came to rest, as {dtype} gets no closer: raise {self._prefix}tol or alpha{finer}",
            Status.OUT_OF_ITERATIONS: f"had {max_iter} iterations: raise {self._prefix}max_iter or {self._prefix}tol",
            Status.TOO_DENSE: "have too many non-zeros for this solver: raise alpha",
        }
        counts = {each: np.count_nonzero(missed & (ending == each)) for each in told}
        causes = "; ".join(f"{n} {told[each]}" for each, n in counts.items() if n)
        warn(
            f"{np.count_nonzero(missed)} of {len(missed)} samples missed the {PENALTIES[self.penalty].certificate} "
            f"{tol:g}; the worst is {result.certificate.max():.2g}. Of these, {causes}.",
            ConvergenceWarning,
        )

    def _what_silences(self, X):
        largest = solvers.largest_alpha(X, self._prepared, positive=self.positive, offset=self._offset_or_none)
        if largest == 0:
            return ": none of them correlates with any atom."
        if largest > self.alpha_:  # they could not be solved, as another warning says
            return None
        return f" with alpha={self.alpha_:g}: above {largest:.3g} there are none. Lower alpha, or scale the samples."

    def _refitted(self, X, result):
        if not self.debias:
            return result
        codes = solvers.refit(
            X, result.codes, self._prepared, positive=self.positive, offset=self._offset_or_none, n_jobs=self.n_jobs
        )
        return result._replace(codes=codes)

    def _codes_at(self, X, alpha, codes_init=None, sparse_output=True):
        """Return the result for validated samples at another penalty than ``alpha_``; warn of nothing."""
        return self._refitted(X, self._solve(X, sparse_output=sparse_output, codes_init=codes_init, alpha=alpha))

    def _solve(self, X, sparse_output=None, codes_init=None, alpha=None):
        max_iter, tol = self._stopping
        return self._solver()(
            X,
            self._prepared,
            self.alpha_ if alpha is None else alpha,
            positive=self.positive,
            max_iter=max_iter,
            tol=tol,
            codes_init=codes_init,
            offset=self._offset_or_none,
            sparse_output=self.sparse_output if sparse_output is None else sparse_output,
            n_jobs=self.n_jobs,
        )

    def _alpha_for_noise(self, X, otherwise=None):
        """Return the penalty that correlations with atoms seldom pass by chance, by validated samples."""
        return solvers.alpha_for_noise(
            X, self._prepared, positive=self.positive, offset=self._offset_or_none, otherwise=otherwise,
            n_jobs=self.n_jobs,
        )  # fmt: skip

    def _solver(self):
        """Return the function that solves the problem with ``penalty`` by ``solver``."""
        solve = solvers.SOLVERS[self.penalty][self.solver]
        return partial(solve, restart=self.restart) if solve is solvers.fista else solve

    def _check_combinations(self):
        super()._check_combinations()
        able = solvers.SOLVERS[self.penalty]
        if self.solver not in able:
            names = " or ".join(map(repr, able))
            raise ValueError(f"penalty={self.penalty!r} needs solver={names}, got {self.solver!r}.")

    @property
    def _stopping(self):
        return Stopping(getattr(self, f"{self._prefix}max_iter"), getattr(self, f"{self._prefix}tol"))

    @property
    def components_(self):
        """The dictionary, read-only; assign another array to replace it."""
        try:
            return vars(self)["components_"]
        except KeyError:
            raise AttributeError(f"{type(self).__name__} has no components_ before it is fitted.") from None

    @components_.setter
    def components_(self, components):
        features = getattr(self, "n_features_in_", None)
        self._set_components(check_dictionary(components, features, name="components_"))

    def _set_components(self, components):
        """Take over an array that nobody else will change, with what is computed from it from now on."""
        components = components.view()
        components.flags.writeable = False
        prepared = PreparedDictionary(components)
        vars(self)["components_"], self._prepared = components, prepared

    def __getstate__(self):
        return {name: value for name, value in super().__getstate__().items() if name != "_prepared"}

    def __setstate__(self, state):
        super().__setstate__(state)
        if "components_" in state:
            self._set_components(state["components_"])

    def _iterations_on_probe(self, X):
        """Return the most iterations, at least 1, that the first training samples need."""
        return max(1, int(self._solve(X[:_PROBE_SAMPLES]).n_iter.max()))

    @property
    def _offset_or_none(self):
        """The offset, or None if there is nothing to subtract."""
        return self.offset_ if self.offset_.any() else None
