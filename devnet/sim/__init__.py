"""Deterministic simulation: the shipped shells and cores in virtual time, one seed a run.

`world` runs one seed (swarm chaos, then heal); `params` draws its configuration; `operator` is one
operator's life on a machine that may die anywhere; `loop`, `network`, `disk`, `store`, `rollup`,
`l1`, `ideal` are that machine; `liars` change what an operator says, also after the heal, by the
schema of the wire (`mutation`); `phases` takes whole phases away; `haste` bounds round changes;
`minority` asks how many rounds liars cost who never stop; `recovery` measures what faults cost.
`lockstep` explores one height of the pure core phase by phase, `synchrony` what follows its heal,
`twins` one key in two places, `formal` a model; `two_signatures` replays one known attack.
`rehearsal` plays a scenario of the harness, over the `surface` that its faults ask for, and
`variations` many times.
`mutants` breaks cores and shells on purpose (`core_mutants`, `shell_mutants`), and `core_scenes`
and `shell_scenes` are the settings in which that shows; `sometimes` names where a campaign must
have been. `campaign` runs many seeds, `long` very many, on `machines`; `tape` is a run as data,
which `replay` plays, `shrink` makes short and `story` tells; `findings` does all three for a seed
that failed. Nothing imports this package.
"""
