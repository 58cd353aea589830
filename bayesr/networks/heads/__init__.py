"""Heads: networks that run once per member, or that describe the distribution of every pixel."""
