"""EfficientNet-lite0 from float PyTorch to a C++ program."""
