"""Executors: where trials train. One protocol, and one file for each kind.

base               the protocol and its events
registry           the executors by name
inline             in this process
processes          worker processes of this machine, one for each core or GPU
ray_executor       actors on a Ray cluster
assignment         which worker gets the next trial
hang_detection     when a silent worker counts as hung
trial_runner       a worker's trials, in every executor
trainer_pool       the trainers of a worker, one for each split
worker             the main loop of a worker process
fork_server        the process that workers are forked from
worker_process     the driver's side of a worker process
forkserver_preload what the fork server imports
parent_death       workers end with their driver
ray_actor          a worker on a Ray cluster
ray_cluster        join or start a Ray cluster
devices            this machine's GPUs and CPU cores
model_check        check custom models in a separate process
"""
