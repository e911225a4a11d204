"""Learning vectors from sequences."""
