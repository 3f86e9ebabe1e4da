"""A network on one machine: each program's command, files and configuration, bring-up and
tear-down, the start-up proof, who holds a folder, the harness's control socket."""
