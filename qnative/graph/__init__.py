"""Reading graphs: what a node is, what depends on constants, how sizes stay open."""
