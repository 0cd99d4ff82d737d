"""Everything that one round does, from the network before it to its files.

``imp``
    one round of Iterative Magnitude Pruning or of a control: score, prune, choose weights, train
``selection``, ``amounts``
    scores → masks; how many weights remain
``criteria``, ``network_criteria``
    scores from weights; scores that run the network
``controls``
    what controls do to masks; `table` lists criteria and controls
``dense``, ``imported``
    round 0; networks that were trained elsewhere
``rounds``
    what a round is, and the files that any round has
"""
