"""The catalogue of scenarios (YAML files beside this one) and their strict reader.

`parse` turns the written form into `devnet.model.scenario` values; `catalogue` finds files by name
or path; `resolved` writes a plan back with every role and random draw replaced by what it
became.
"""
