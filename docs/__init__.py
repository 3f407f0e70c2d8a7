"""A package, so that `python -m docs.build` finds it before any `docs` that a dependency brings."""
