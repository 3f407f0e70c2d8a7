"""From a trained detector to maps, scores and metrics."""
