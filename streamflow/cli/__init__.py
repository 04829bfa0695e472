"""The command line: noun, then verb. Each noun is a module with `app: typer.Typer`, listed in `main.NOUNS` and loaded
when it is used."""
