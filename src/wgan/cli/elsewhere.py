"""What options of other projects are called here."""

ELSEWHERE: dict[str, str] = {}
