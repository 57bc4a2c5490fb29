"""The sealed test set: freeze the selection, open the set once for it, log every opening.

selection      what was chosen, from which trials, by which rule, and the hash of that
opening        opens the test set for a frozen selection, and evaluates its models
calibration    the calibration of the champion on the test set
    sealed         the sealed test set: it opens only after the opening is in the log
log            every opening of a test set, over all studies
overlap        how much of a test set was seen before, in earlier test and training sets
example_files  the hashes of examples beside the logs
"""
