"""Gold follows the bank, a few seconds behind: messages land in Bronze as they come, dbt builds what they change."""

from live.command_line import main

__all__ = ["main"]
