"""Random data and random queries against a plain Python list."""
