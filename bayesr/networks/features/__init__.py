"""Feature networks, in whose features losses compare images."""
