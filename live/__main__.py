"""The service as a program: `python -m live`, and `live` in the wheel."""

from live.command_line import main

if __name__ == "__main__":
    main()
