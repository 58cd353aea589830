"""Segmentation of ensembles: segmenters, their training, and the uncertainty of masks and objects."""
