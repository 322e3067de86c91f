"""The engine: all I/O lives here, and nothing above this floor sees a socket.

Modules above hand it plans and mutations (data) and get rows back; only this package imports redis.
"""
