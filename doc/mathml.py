"""Formulas as MathML, which browsers draw by themselves: no script from elsewhere, so pages can be read offline."""

from html import escape

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.util import logging

logger = logging.getLogger(__name__)


def visit_inline(translator, node):
    translator.body.append(_drawn(node))
    raise nodes.SkipNode


def visit_block(translator, node):
    translator.body.append(_drawn(node, as_block=True))
    raise nodes.SkipNode


def _drawn(node, **options):
    try:
        return tex2mathml(node.astext(), **options)
    except MathError as error:
        logger.warning("the formula %s cannot be drawn: %s", node.astext(), error, location=node)
        return escape(node.astext())


def setup(app):
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
