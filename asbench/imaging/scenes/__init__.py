"""Procedural scenes of an inspection line: parts drawn as geometry and material, then lit.

Every module draws one product: `DEFECTS` names what can be wrong with it, and
`draw(rng, defect, defect_rng)` returns a photograph and the mask of its defect.
"""
