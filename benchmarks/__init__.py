"""Measurements: redisom_lite beside hand-written redis-py, on one server and the same data, interleaved."""
