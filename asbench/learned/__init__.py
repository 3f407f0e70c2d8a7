"""Learned synthesizers: networks, how they are fitted, how they render. One file each (torch)."""
