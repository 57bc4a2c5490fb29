"""The operating system's side: signals, append-only files, terminals, fault injection.

signals     graceful shutdown: Ctrl-C and SIGTERM set a flag that the driver polls
proxies     the HTTP proxy that the environment sets for an address
home_folder a home folder and a user name for a process that has none
jsonl       append-only files of lines: cut off a torn end
addresses   tracking stores and files as URIs: one form for all spellings
terminal    escape untrusted text for a terminal
retries     the one retry policy: growing pauses, up to a deadline
thread_switching  how long a thread waits for its turn
timings     the seconds of each phase of a command, for HARNESS_TIMINGS=1
failpoints  named places where a test can kill the driver
"""
