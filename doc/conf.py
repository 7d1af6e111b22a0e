"""Sphinx configuration; build from the repository root with ``sphinx-build -W -b html doc OUT``.

Nothing here asks for the network, so there is no intersphinx.
"""

import sys
from pathlib import Path

import skcode

sys.path.insert(0, str(Path(__file__).parent))  # of gallery_order and mathml

project = "skcode"
author = "The skcode developers"
copyright = f"2026, {author}"
version = release = skcode.__version__

extensions = [
    "mathml",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_design",
    "sphinxcontrib.bibtex",
    "sphinx_gallery.gen_gallery",
]
templates_path = ["_templates"]
exclude_patterns = ["_build"]
default_role = "py:obj"  # the docstrings name objects in single backticks
add_module_names = False
toc_object_entries_show_parents = "hide"

autosummary_generate = True
autodoc_typehints = "none"  # numpydoc sections give types, with shapes
bibtex_bibfiles = ["references.bib"]
bibtex_default_style = "plain"
bibtex_reference_style = "author_year"
# The class template lists the methods that are skcode's own.
numpydoc_show_class_members = False

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "backreferences_dir": "generated/backreferences",
    "doc_module": ("skcode",),
    "reference_url": {"skcode": None},
    "within_subsection_order": "gallery_order.by_story",
    "download_all_examples": False,
    "write_computation_times": False,
    "abort_on_example_error": True,
    "parallel": 2,
}

html_theme = "pydata_sphinx_theme"
html_title = f"skcode {version}"
html_math_renderer = "mathml"
html_static_path = ["_static"]
html_css_files = ["skcode.css"]
html_show_sourcelink = False
html_copy_source = False
html_sidebars = {page: [] for page in ("install", "paper", "benchmarks", "references", "whats_new", "contributing")}
html_theme_options = {
    "logo": {"text": "skcode"},
    "show_prev_next": False,
    "header_links_before_dropdown": 6,
    "navigation_with_keys": False,
    # Not on the pages of the gallery, whose code needs the room.
    "secondary_sidebar_items": {pages: ["page-toc"] for pages in ("*", "guide/*", "generated/*")},
    "footer_start": ["copyright"],
    "footer_end": [],
}


def skip_scikit_learn(app, what, name, obj, skip, options):
    """Leave out the methods of scikit-learn's mixins: their docstrings refer to scikit-learn's own pages."""
    return True if str(getattr(obj, "__module__", None)).startswith("sklearn.") else None


def setup(app):
    app.connect("autodoc-skip-member", skip_scikit_learn)
