"""A model: its network, its file, its card, and the catalogue of bundled models."""
