"""Where trials run: one protocol, one file for each way.

base       the protocol and the events
workbench  a worker's trials, from submission to end, whatever runs it
worker     what runs inside a worker process
tether     how it ends with its driver
preload    what workers are forked with
inline     in this process, for tests and debugging
processes  worker processes of this machine, one per core or GPU
examiner   tries a model of the user's own before anything is trained
handle     such a process as the driver sees it
watchdog   when it counts as hung
devices    what this machine has
"""
