"""The words of verdicts, each defined once; findings.json, reports and tests use them."""

HOLDS, FAILS, UNDECIDED = "holds", "does not hold", "undecided"
TOO_FEW_SEEDS = "too few seeds"
NOT_APPLICABLE = "not applicable"
# Of a layer, compared with other seeds' networks; of the accuracy, compared with the dense network.
ABOVE, BELOW = "above", "below"
# Of a layer while weights are removed.
FALLS, STAYS = "falls", "stays similar"
# Of a distance to the dense network, compared with that of retrained networks.
BEYOND, LESS, NOT_APART = (
    "beyond retraining",
    "less than retraining",
    "no difference from retraining detected",
)

# What each word means, for results/README.md and the reports.
MEANINGS = {
    HOLDS: "the seeds show that the claim is true, given the margin",
    FAILS: "the seeds show the contrary",
    ABOVE: "the seeds show that it is higher",
    BELOW: "the seeds show that it is lower",
    FALLS: "the seeds show that the similarity falls by more than the margin",
    STAYS: "the seeds show that the similarity changes by less than the margin",
    BEYOND: "the seeds show that pruned networks moved further from the dense one than retrained networks",
    LESS: "the seeds show that pruned networks moved less far than retrained networks",
    NOT_APART: "the seeds show neither; this does not mean that both are equal",
    UNDECIDED: "the seeds show neither the claim nor its contrary; this does not mean equal",
    TOO_FEW_SEEDS: "fewer than three seeds have all the values",
    NOT_APPLICABLE: "the question does not apply here, for the `reason` given",
}
