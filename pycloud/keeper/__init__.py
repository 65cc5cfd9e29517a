"""The keeper: a separate small process that is the parent of all script sessions of one node.

It outlives the daemon, which is only its client (``ipc/protocol.py``). This package may import the standard library,
itself and ``pycloud.fault_points`` only, so that the keeper stays small and its vfork stays cheap.

How the modules fit together, from the outside in; begin with ``ipc/protocol.py`` and ``operations.py``::

    __main__    command line, signals, lock; builds all parts below and runs the loop
    event_loop  the selector loop: sockets, children, timers
    operations  one method per request        recovery: takes over what an earlier keeper left
    ipc         protocol, server, request fields, and a client for processes without a daemon
    lifecycle   starter, terminator, reaper, process_tree, process_scan: the processes of sessions
    storage     journals, logs (and their size limit), working directories and their removal
    system      wrappers around the kernel: /proc, inotify, ports, lock files, exec
"""
