"""Where trials run: one protocol, one file for each way.

base       the protocol and the events
worker     what runs inside a worker, whatever started it
inline     in this process, for tests and debugging
processes  one process per core or GPU of this machine
devices    what this machine has
"""
