"""The job as a program: `python -m ingestion`, and `ingestion` in the wheel."""

from ingestion.command_line import main

if __name__ == "__main__":
    main()
