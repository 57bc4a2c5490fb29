"""The shared training core: forward, backward, optimisers and the epoch loop, written by hand.

The leading axis of every tensor is the trial. A group of K members of equal structure trains as
one program; one trial is a group of one.

    K  members (trials)      B  examples of a batch    D  inputs    H  width of a hidden layer
    P  parameters of one     N  training examples      C  classes

Activations lie in memory as [B, K, H], so that BatchNorm sees B rows of K * H columns, and are
read by the matrix products through their [K, B, H] view.
"""

from harness.engine.loop import train
from harness.engine.resident import Resident

__all__ = ["Resident", "train"]
