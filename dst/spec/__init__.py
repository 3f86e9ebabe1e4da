"""The shared vocabulary: primitives, errors, SSZ, beacon and engine containers, domains, chain
rules, cluster files."""
