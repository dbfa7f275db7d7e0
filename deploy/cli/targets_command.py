"""`netbooster targets`: the boards and emulated machines."""

from deploy.cli.console import console, new_table


def command() -> None:
    """List the targets with core, clock, memories and emulator."""
    from deploy.targets import load_target, target_names

    table = new_table(
        "Targets", "name", "core", ">clock", ">flash", ">RAM", "emulator", wrap="description"
    )
    for name in target_names():
        target = load_target(name)
        table.add_row(*target.table_row())
    console.print(table)
