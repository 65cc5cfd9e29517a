"""The keeper: a small process of its own that is the parent of all script sessions of one cloud.

It outlives the daemon, which is only its client (``protocol.py``). Standard library only: nothing in this package may
import anything of PyCloud but ``pycloud`` itself, so that the keeper stays small and its ``vfork`` cheap.

How the files fit together, from the outside in::

    __main__    command line, signals, lock; builds all below and runs the loop
    server      sockets, the selector loop        connections, protocol: lines in and out
    operations  one method per request            settling: what an earlier keeper left
    starting    start one session                 ending: end one, with all that it left behind
    family      who is whose child                sweeper, logs: bounded logs
    book        journals on disk and in memory    remover, workdir: directories come and go
    journal, command, ports, processes, faults    leaves: each knows only the system
"""
