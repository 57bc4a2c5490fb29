"""Where trials run: one protocol, one file for each way.

base       the protocol and the events
workbench  a worker's trials, from submission to end, whatever runs it
worker     what runs inside a worker process
inline     in this process, for tests and debugging
processes  worker processes of this machine, one per core or GPU
devices    what this machine has
"""
