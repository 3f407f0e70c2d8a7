"""What to train on, from good photographs alone: every method tried on them, and a rule."""
