"""Benchmarks of ops and models; kernels have theirs in benchmark/kernels."""
