"""A tour over real flights: load them, ask questions, and check every answer against SQLite.

    python -m examples.flights

Read in this order: `model.py` declares the record, `data.py` reads the rows, `questions.py` asks, `reference.py` asks
SQLite the same, `__main__.py` runs and shows it all.
"""
