"""From stored samples to a trained detector."""
