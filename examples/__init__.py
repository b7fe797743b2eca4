"""Programs that use qnative."""
