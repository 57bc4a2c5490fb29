"""The shared training core: forward, backward, optimisers and the epoch loop, written by hand.

A population of unequal trials trains as one program; one trial is a population of one.

    population    members join, train an epoch, are judged, leave
    arrangement   which member trains in which cell
    cell          a program of K slots: trains and validates them an epoch at a time
    layout        how unequal networks lie padded side by side
    arena, switches    the members' parameters, and what tells the members apart
    network, products, activations, losses, augment, randomness, optimizers, schedules    a step
    module        a model of one's own in the network's place, through autograd
    graph         the step captured for CUDA
    resident      the data on the device, gathered batch by batch
    member        one trial: its state, its best epoch, how it ends

The axes, in this order:

    B  examples of a batch    K  slots of a cell    D  inputs    H  width of a hidden layer
    P  parameters of a slot   N  training examples  C  classes   T  inputs of the output layer

Activations lie in memory as [B, K, H], so that BatchNorm sees B rows of K * H columns, and are
read by the matrix products through their [K, B, H] view; parameters have K in front.
"""
