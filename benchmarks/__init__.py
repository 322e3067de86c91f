"""Measurements: redisom_lite beside hand-written redis-py, on the same server, the same data, in one interleaved run."""
