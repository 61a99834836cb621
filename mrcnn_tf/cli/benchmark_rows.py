"""Rows of measurements as they come: counted on the way, printed and written at the end."""

from collections.abc import Callable, Iterator


def collect_rows(
    measure: Callable[[Callable[[str], None]], Iterator[dict]],
    total: int,
    tables: Callable[[list[dict]], list],
    json_file: str | None,
) -> None:
    """Show a progress bar while rows are measured, then print their tables and write them.

    Minutes of measurements are not lost to a case that fails, or to Ctrl-C.

    Args:
        measure: gives the rows; is called with a function to tell what it does.
        total: how many there will be.
        tables: makes of the rows what rich prints.
        json_file: also gets the rows, unless it is None.
    """
    from rich.console import Console
    from rich.progress import Progress

    from mrcnn_tf.data.write_json import write_json

    rows = []
    try:
        with Progress(console=Console(stderr=True), transient=True) as progress:
            task = progress.add_task("starting", total=total)
            for row in measure(lambda text: progress.update(task, description=text)):
                rows.append(row)
                progress.advance(task)
    finally:
        if rows:
            console = Console()
            # A file has no width; 80 columns would cut the names.
            console = Console(width=None if console.is_terminal else 140)
            for table in tables(rows):
                console.print(table)
            if json_file:
                write_json(json_file, rows)
