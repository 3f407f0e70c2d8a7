"""Torch blocks shared by detectors and learned synthesizers."""
