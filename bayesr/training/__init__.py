"""Training: data, losses, recipes, the training loop, and calibration.

The training loop needs only torch and numpy.
"""
