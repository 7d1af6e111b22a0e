"""Learning from a stream: block after block, and a finish on the latest samples."""

from __future__ import annotations

from math import ceil
from typing import Self

import numpy as np
from sklearn.utils.metaestimators import available_if

from .._validation import FLOATS, ArrayLike, check_is_fitted, fit_context, validate_data
from .online import NOTHING, OnlineSearch, Reserve, most_kept, visits


def _learns_online(learner):
    if learner.method != "online":
        raise AttributeError(f"learning from a stream needs method='online', got method={learner.method!r}.")
    return True


class StreamMixin:
    """`partial_fit` and `finalize` of a learner that can start, record and store what it learns."""

    @available_if(_learns_online)
    @fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: ArrayLike, y=None) -> Self:
        """Go on learning from a block of samples; the blocks of a stream need not fit into memory together.

        The first block sets ``alpha_`` and ``offset_``, if these come from the data. After a `fit`, learning goes on
        from its dictionary and keeps them; otherwise the schedule of the search takes 80 samples for each atom, and at
        least 20,000 in all, and a shorter stream should be repeated until it has as many. A longer one is averaged over
        ever longer. The components can be used after each block. `finalize` polishes them on the latest samples, ten
        for each atom and at least 10,000, which are kept for that. Blocks larger than ``batch_size`` (by default, the
        number of atoms) are cut. Callbacks and ``validation_fraction`` have no effect on a stream, and changes
        of ``n_components``, ``alpha``, ``positive``, ``offset`` and ``dictionary_init`` none on its search.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples.
        y : ignored
            Present for API consistency.

        Returns
        -------
        self : DictionaryLearner
            The learner.

        Raises
        ------
        AttributeError
            If ``method`` is not ``"online"``.
        ValueError
            If ``X`` has other features than the samples before, ``alpha="auto"`` and the first block, less the offset,
            is zero or out of scale, or ``dictionary_init`` or ``offset`` does not fit.
        """
        if not hasattr(self, "_search"):
            X = self._begin_stream(X)
        else:
            X = validate_data(self, X, dtype=[self._search.components.dtype], order="C", reset=False)
        self._add_to_mean(X)
        X, total = self._centred(X), NOTHING
        self._reserve.add(X)
        for part in np.array_split(X, ceil(len(X) / (self.batch_size or len(self._search.components)))):
            total += self._search.step(part, self.n_jobs)
        self._record(total.record(), None)
        self._take_components(self._search.components)
        return self

    def _begin_stream(self, X):
        fitted = hasattr(self, "components_")
        X = validate_data(self, X, dtype=[self.components_.dtype] if fitted else FLOATS, order="C", reset=not fitted)
        if fitted:
            components = self.components_.copy()
        else:
            self._set_offset(X)
            self.alpha_ = self._alpha_for(X)
            components = self._initial_dictionary(X)
            self.history_, self.n_iter_, self._n_seen_samples = {}, 0, 0
        n_visits = visits(len(components))
        self._search = OnlineSearch(components, self.alpha_, positive=self.positive, n_visits=n_visits)
        if fitted:
            self._search.n_seen = n_visits
        self._reserve = Reserve(most_kept(X, len(components)), X.shape[1], X.dtype)
        return X

    @available_if(_learns_online)
    @fit_context(prefer_skip_nested_validation=True)
    def finalize(self) -> Self:
        """Polish what `partial_fit` has learned, on the latest samples; more blocks may follow.

        Returns
        -------
        self : DictionaryLearner
            The learner.
        """
        check_is_fitted(self, "_search", msg="finalize ends a stream: call partial_fit on at least one block before.")
        for step in self._search.finish(self._reserve.samples, self.n_jobs):
            self._record(step.record(), None)
        components = self._search.components.copy()
        components[self._search.surplus] = 0
        self._take_components(components)
        return self

    def _forget_stream(self):
        for name in ("_search", "_reserve"):
            self.__dict__.pop(name, None)
