"""all-MiniLM-L6-v2: sentences become vectors."""
