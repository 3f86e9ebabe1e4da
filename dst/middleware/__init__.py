"""One operator's middleware: agrees on each block with the others, seals it, keeps its rollup node
in step.

main            flags and files in, exit code out
wire            who is connected to whom, on one screen
outcomes        what one part found out and others must hear
workflow        who hears of what
store           what must survive a crash: promises, decisions, partials, seals (SQLite, fsynced)
consensus       the asyncio shell around `dst.qbft`
proposals       builds and validates blocks at the rollup node, one job a round
sealing         the asyncio shell around `dst.sealing`
catch_up        certificates and blocks fetched from peers, and served to them
router          messages between peers and the shells
progress        how far this operator is, as the validator API and the importer see it
importer, validator_api, events     the neighbours of the same operator
"""
