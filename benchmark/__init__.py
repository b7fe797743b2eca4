"""Benchmarks of ops and models; those of kernels are in benchmark/kernels."""
