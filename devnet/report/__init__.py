"""Readers of a finished run: pure functions from (history, verdicts) to text, HTML, JUnit and JSON.

`summary` the figures of one run, `table` for the terminal, `html` the page, `junit` for CI.
"""
