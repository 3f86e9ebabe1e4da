"""A model of one height in Quint, and the proof that it is a model of our code.

`qbft.qnt` is the model; `quint` runs it (random schedules, invariants, witnesses) and writes its
traces; `values` reads them; `replay` does to the real core, on a real log, what each trace did to
the model, and compares the two after every step. `docs/consensus.md`, "The model".
"""
