"""The training engine: many different networks trained as one program, written without autograd.

The trials of a fused group differ in depth, width, activation, optimizer and more. One trial is a
group of one.

    trainer            the training loop: trials join, train an epoch, are decided on, leave
    folded_trainer     the training loop of cross-validation: each trial has a member in every fold
    placement          which trials train fused in one group, on a GPU
    cpu_placement      the same on a CPU core
    fold_placement     the same on a GPU for trials with folds
    cost_model         when fusing pays, by arithmetic on the settings (without torch)
    fused_group        K slots that train and validate together
    trial_state        one trial: progress, best epoch, stopping, result
    padding            the padded shape that a group's networks share
    parameter_buffer   all parameters and moments of a group, one row a slot
    masks              what each slot does differently
    network            forward and backward pass
    matmul             the matrix products
    losses             losses and their gradients
    class_metrics      AUC, F1, balanced accuracy, log loss, Brier score
    validation         a validation's metrics and predictions, from the outputs of all slots
    validation_scores  the objective in every epoch, all metrics at the best
    optimizers         the optimizer step, row by row or vectorised
    lr_schedules       the learning rate of every step
    augmentation       random changes of training images
    elastic            smooth random displacements of an image's pixels
    rng                random numbers as hashes: batch order, dropout, augmentation
    autograd           a custom model in place of `network`, through autograd
    cuda_graph         a step captured as a CUDA graph
    device_data        the data on the device, gathered batch by batch
    slot_data          the folds on the device, and the data of slots of different folds

The axes, in this order:

    B  examples of a batch    K  slots of a group     D  inputs    H  width of a hidden layer
    P  parameters of a slot   N  training examples    C  classes   T  inputs of the output layer

Activations are stored as [B, K, H], so BatchNorm sees B rows of K * H columns; the matrix products
read them through their [K, B, H] view. Parameters have K in front.
"""
