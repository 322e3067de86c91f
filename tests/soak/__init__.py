"""Long runs with printed figures: commands, `python -m tests.soak.<name>`, and slow tests of the same."""
