"""Calibration: the factor on the standard deviation, intervals, their coverage, and the out-of-distribution check."""
