"""scikit-learn's callbacks, where the installed version has them (from 1.9); elsewhere, nothing happens."""

from __future__ import annotations

__all__ = ["CallbackSupportMixin", "with_callbacks"]

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:

    class _Unheard:
        """A task of which nobody is told."""

        def subcontext(self, **task):
            return self

        def call_on_fit_task_begin(self, **what):
            return self

        def call_on_fit_task_end(self, **what):
            return False

    class CallbackSupportMixin:
        """Stands in for scikit-learn's, without ``set_callbacks``."""

        def _init_callback_context(self, **task):
            return _Unheard()

    def with_callbacks(method):
        return method
