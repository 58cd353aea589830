"""Heads: networks that run once per member, or model the distribution of every pixel."""
