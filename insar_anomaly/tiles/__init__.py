"""From a stack to tiles, lazily and pair by pair.

`preprocess` masks, corrects, references and brings into range; `trends` fits the broad parts that follow orbit and height;
`laplace` fills masked ground.
"""
