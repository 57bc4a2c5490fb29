"""The displays of a sweep's progress; see `harness.sweep.progress.ProgressDisplay`.

choose           which display: notebook, terminal or lines
live             a live display in a terminal
notebook         the same in a notebook
view             what both draw: the stage, a bar, the trials
trial_table      the table of its trials
captured_stderr  what libraries write to stderr meanwhile
plain            dated lines, for a log file or a terminal without cursor control
jsonlines        JSON lines, for programs
timed            measures the stages of another display
wording          the words of the first two: results, counts, the remaining time
"""
