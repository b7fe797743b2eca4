"""Measuring: observers, a pass over calibration data, weights rounded by it."""
