"""Deterministic simulation: the real consensus and sealing cores in virtual time, one seed a run.

`world` runs one seed (swarm chaos, then heal); `params` draws its configuration; `node` is the
shell around the cores; `network`, `disk`, `l1`, `ideal` are the machine it stands on; `byzantine`
lies; `lockstep` explores one height phase by phase with a puppet; `two_signatures` replays one
known attack; `mutants` breaks the cores on purpose; `campaign` runs many. Nothing imports this
package.
"""
