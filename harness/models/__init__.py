"""Networks as torch modules: the built-in MLP, custom models, their export and the baselines.

mlp             the built-in network, and loading of any trained network
activations     each activation: its torch module and its hand-written kernels
custom          a user's own torch.nn.Module in place of the MLP
user_code       find, fingerprint and import the user's code
normalization   input normalization and target units, shared by both networks
export          whether the champion can be exported with torch.export
baselines       what a regression is compared with: mean, linear regression, boosted trees
"""
