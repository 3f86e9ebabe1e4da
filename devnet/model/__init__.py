"""Frozen values without behaviour: topology, descriptor, scenario, fault, history, verdict."""
