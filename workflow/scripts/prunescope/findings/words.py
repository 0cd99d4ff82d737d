"""The words of verdicts, each defined once; findings.json, reports and tests use them."""

HOLDS, FAILS, UNDECIDED = "holds", "does not hold", "undecided"
TOO_FEW_SEEDS = "too few seeds"
NOT_APPLICABLE = "not applicable"
# Of a layer, compared with other seeds' networks; of a metric, compared with the dense network.
ABOVE, BELOW, NO_DIFFERENCE = "above", "below", "no detectable difference"

# What each word means, for results/README.md and the reports.
MEANINGS = {
    HOLDS: "the seeds show that the claim is true, given the margin",
    FAILS: "the seeds show the contrary",
    UNDECIDED: "the seeds show neither",
    ABOVE: "the seeds show that it is higher",
    BELOW: "the seeds show that it is lower",
    NO_DIFFERENCE: "the seeds show neither; this does not mean equal",
    TOO_FEW_SEEDS: "fewer than three seeds have all the values",
    NOT_APPLICABLE: "the question does not apply here, for the `reason` given",
}
