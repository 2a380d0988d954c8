"""Commands for reports on folders that no command made."""

from wgan.report import Commands

COMMANDS = Commands(
    rerun="wgan train digits --steps 1000",
    remedied=lambda remedy: f"wgan train digits {remedy}",
    evaluate="wgan evaluate run",
    sample="wgan sample run --out samples.png",
)
