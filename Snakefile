# The workflow is in workflow/Snakefile, where Snakemake's catalogue and `module:` look for it.
include: "workflow/Snakefile"


# The default target of an included file does not count by itself.
workflow.default_target = "all"
