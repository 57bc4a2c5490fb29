"""Networks as torch modules: the built-in MLP, custom models, their export and the baselines.

mlp             the built-in network, and loading of any trained network
activations     each activation: its torch module and its hand-written kernels
custom          a user's own torch.nn.Module in place of the MLP
ensemble        several trained networks as one module
user_code       find, fingerprint and import the user's code
normalization   input normalization and target units, shared by both networks
export          whether the champion can be exported with torch.export
baselines       the record of the simpler models that a champion is compared with
baseline_fits   fits them: mean or majority class, linear or logistic regression, boosted trees
"""
