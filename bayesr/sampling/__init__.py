"""Sampling: from an image to members of its posterior and to a product, in memory or in a store."""
