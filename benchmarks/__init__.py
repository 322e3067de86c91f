"""Measurements: redisom_lite beside hand-written code and other mappers, on one server and the same rows, in turn.

contenders/     one file for each way of doing the work; contract.py says what they can do
operations.py   what is measured, and, by table.py, what the right answers are
session.py      one run: load, compare, measure, count; figures.py is what comes out
worker.py       a contender's process; remote.py its parent's side; environments.py where it runs
servers.py      the servers, and what they say they have done; relay.py counts round trips
report.py       tables; plots.py, publish.py for the documentation
transport.py    a measurement of its own: the connection beside redis-py's
"""
