"""Deciding what runs in which op: config rows, capabilities, the PT2E quantizer, the dry run."""
