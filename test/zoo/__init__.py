"""Public architectures as a test: `make zoo` quantizes each of them and measures the result."""
