"""Where results go, and where reports read them from.

records    what is written and read back, as plain values
base       the protocol
mlflow     an MLflow store or server: the one folder that imports mlflow
memory     a working fake, for tests
view       how a study's page looks in MLflow's UI
"""
