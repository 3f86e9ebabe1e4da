"""Runs a scenario: the only place that knows the order of the stages.

`plan` draws and resolves, `stages` one run from load to check, `network` the surfaces over a
running network, `campaign` many runs and their folder.
"""
