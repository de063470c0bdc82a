"""How the `insar` weights are made: a ResNet18 trunk trained on simulated interferograms only.

`stream` draws crops, `network` is what is trained on them, `recipe` trains, measures and writes the weights.
"""
