"""`python -m tests.flow_bench`: writes the table."""

from __future__ import annotations

from tests.flow_bench.table import TABLE, rows, text


def main() -> None:
    """Writes the table, and says how many workflows are expressed."""
    found = list(rows())
    TABLE.write_text(text(found))
    print(f"{sum(not one.problem for one in found)} of {len(found)} are expressed: {TABLE}")


if __name__ == "__main__":
    main()
