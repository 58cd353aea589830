"""Backbones: networks that run once per image and map it to features."""
