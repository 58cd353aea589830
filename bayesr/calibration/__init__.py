"""Calibration: the factor on the standard deviation, intervals, their coverage, and the out-of-distribution check.

Quantities are in network units, where `value_range` is [0, 1].
"""
