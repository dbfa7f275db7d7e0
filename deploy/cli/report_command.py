"""`netbooster report`: everything measured, on one page."""

from deploy.cli.console import console
from deploy.run.context import DEFAULT_TARGET, RunContext, RunFolder, TargetOption

NO_ARGS_IS_HELP = True
SAMPLES = 12


def stage(context: RunContext) -> None:
    """Write report.html and print the table of key figures."""
    from deploy.evidence.report import write_report
    from deploy.evidence.report.terminal import print_summary
    from deploy.run.model_io import test_batches

    for paths in context.models:
        if context.target.runs_here:  # of a board alone, the report says what is missing
            context.need(paths.measurement(context.target.name), "emulate")
    pixels, _, labels = next(iter(test_batches(context.dataset, limit=SAMPLES)))
    result = write_report(
        context.folder,
        context.target.name,
        sample_images=list(zip(pixels[:SAMPLES], labels[:SAMPLES].tolist(), strict=True)),
    )
    print_summary(context.folder, context.target.name, console=console)
    console.print(f"report: {result.path}", markup=False)


def command(run: RunFolder, target: TargetOption = DEFAULT_TARGET) -> None:
    """Write RUN/report.html: accuracy, budget, instructions, memory, curves, answers.

    Fails where the contracted model does not keep the vanilla model's budget: parameters,
    MACs, tensor shapes and planned RAM have to be equal.
    """
    stage(RunContext.open(run, target=target))
