COMMIT: str
DATA_DIGEST: str
COLLECTORS: dict[str, str]
DEPLOYERS: list[str]
PACKAGES: list[tuple[str, str, str]]
